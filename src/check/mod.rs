//! `aka check`: reads every row of every shard and reports what breaks an invariant.
//!
//! It may run beside a live service: what looks wrong is looked at again before it is reported, so a
//! write that is under way is no problem.

mod log;
mod problem;
mod repair;
mod rows;
mod shards;

pub use problem::{Problem, Report};
pub use shards::Shards;

use crate::store::{Store, StoreError};

/// Reads all shards. With `repair`, what can be mended safely is.
///
/// # Errors
/// If a shard cannot be reached, or is not the one that is named.
pub async fn check(stores: &[Box<dyn Store>], repair: bool) -> Result<Report, StoreError> {
    let mut shards = Shards::open(stores).await?;
    let mut report = Report::default();
    for shard in 0..stores.len() {
        rows::check_forward(&mut shards, shard, &mut report).await?;
        rows::check_inverse(&mut shards, shard, &mut report).await?;
        log::check_log(&mut shards, shard, &mut report).await?;
    }
    rows::confirm_orphans(&mut shards, &mut report).await?;
    if repair {
        repair::repair(&mut shards, stores, &mut report).await?;
    }
    Ok(report)
}
