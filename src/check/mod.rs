//! `aka check`: reads every row of every shard and reports what breaks an invariant.
//!
//! It may run beside a live service. It looks at each suspect again before it reports it, so it
//! does not report a write that is under way.

mod history;
mod judge;
mod log;
mod problem;
mod repair;
mod rows;
mod shards;

pub use history::LoggedState;
pub use problem::{Findings, Problem};
pub use repair::Repair;
pub use shards::ShardSessions;

use self::history::History;
use crate::store::{Store, StoreError};

/// Reads all shards, and repairs what it is told to.
///
/// # Errors
/// If a shard cannot be reached, or is not the one that is named.
pub async fn check(stores: &[Box<dyn Store>], what: Repair) -> Result<Findings, StoreError> {
    let mut shards = ShardSessions::open(stores).await?;
    let report = check_all(&mut shards, stores, what).await;
    shards.close().await;
    report
}

async fn check_all(
    shards: &mut ShardSessions,
    stores: &[Box<dyn Store>],
    what: Repair,
) -> Result<Findings, StoreError> {
    let mut report = Findings::default();
    let mut unmatched = Vec::new();
    for shard in 0..stores.len() {
        rows::check_forward(shards, shard, &mut report).await?;
        unmatched.extend(rows::check_inverse(shards, shard, &mut report).await?);
    }
    rows::confirm(shards, &mut unmatched).await?;
    // The log is read after the rows: it must say how they came to be.
    let mut history = History::new(judge::suspects(&report, &unmatched), stores.len());
    for shard in 0..stores.len() {
        log::check_log(shards, shard, &mut history, &mut report).await?;
    }
    judge::judge(shards, history, unmatched, &mut report).await?;
    if what != Repair::Nothing {
        repair::repair(shards, stores, what, &mut report).await?;
    }
    Ok(report)
}
