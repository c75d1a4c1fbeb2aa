//! `aka check`: reads every row of every shard and reports what breaks an invariant.
//!
//! It may run beside a live service. It looks at each suspect again before it reports it, so it
//! does not report a write that is under way.

mod log;
mod problem;
mod repair;
mod rows;
mod shards;

pub use problem::{Findings, Problem};
pub use shards::ShardSessions;

use crate::store::{Store, StoreError};

/// Reads all shards. With `repair`, it also repairs what can be repaired safely.
///
/// # Errors
/// If a shard cannot be reached, or is not the one that is named.
pub async fn check(stores: &[Box<dyn Store>], repair: bool) -> Result<Findings, StoreError> {
    let mut shards = ShardSessions::open(stores).await?;
    let report = check_all(&mut shards, stores, repair).await;
    shards.close().await;
    report
}

async fn check_all(
    shards: &mut ShardSessions,
    stores: &[Box<dyn Store>],
    repair: bool,
) -> Result<Findings, StoreError> {
    let mut report = Findings::default();
    for shard in 0..stores.len() {
        rows::check_forward(shards, shard, &mut report).await?;
        rows::check_inverse(shards, shard, &mut report).await?;
        log::check_log(shards, shard, &mut report).await?;
    }
    rows::confirm_orphans(shards, &mut report).await?;
    if repair {
        repair::repair(shards, stores, &mut report).await?;
    }
    Ok(report)
}
