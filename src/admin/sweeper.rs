//! The sweeper: removes orphaned inverse rows, which writes that died have left.
//!
//! It walks the inverse rows of each shard for ever, a page at a time. Several instances may sweep at
//! once: a row is named by its stamp, so nobody removes more than was looked at.

use super::Admin;
use crate::metrics::Metrics;
use crate::shard::Shard;
use crate::store::Stored;
use aka_core::domain::InverseRow;
use aka_core::write::ORPHAN_AGE;
use std::sync::Arc;
use std::time::Duration;

const PAGE: u32 = 1_000;

/// Walks over all shards again and again, with a pause after each page.
pub async fn sweep_forever(admin: Admin, metrics: Arc<Metrics>, pause: Duration) {
    let walks = admin.cluster.shards().iter().map(|shard| walk(&admin, shard, &metrics, pause));
    futures::future::join_all(walks).await;
}

async fn walk(admin: &Admin, shard: &Arc<Shard>, metrics: &Metrics, pause: Duration) {
    let mut after = None;
    loop {
        tokio::time::sleep(pause).await;
        match sweep_page(admin, shard, after.as_ref(), metrics).await {
            Ok(last) => after = last,
            // The shard, or one that holds a forward row, cannot be reached: the same page again.
            Err(error) => tracing::debug!(shard = shard.id.0, error, "the sweeper waits"),
        }
    }
}

/// Sweeps one page; returns its last row, or `None` at the end of the table.
async fn sweep_page(
    admin: &Admin,
    shard: &Arc<Shard>,
    after: Option<&Stored<InverseRow>>,
    metrics: &Metrics,
) -> Result<Option<Stored<InverseRow>>, String> {
    let (now, page) = shard.scan_inverse(after, PAGE).await.map_err(|error| error.to_string())?;
    let old: Vec<InverseRow> = page
        .iter()
        .map(|stored| stored.row.clone())
        .filter(|row| now.since(row.created) >= ORPHAN_AGE)
        .collect();
    // One project at a time: forward rows are told apart by their ids alone.
    for rows in old.chunk_by(|a, b| a.canonical.project() == b.canonical.project()) {
        let forward = admin.forward_rows(rows).await.map_err(|refusal| refusal.to_string())?;
        for row in rows.iter().filter(|row| !forward.pins(row)) {
            tracing::info!(shard = shard.id.0, "removing an orphaned inverse row");
            if admin.unpin(row.clone()).await {
                metrics.orphans_removed.increment(1);
            }
        }
    }
    let more = page.len() == PAGE as usize;
    Ok(page.into_iter().last().filter(|_| more))
}
