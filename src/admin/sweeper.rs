//! The sweeper: removes orphans, the inverse rows of writes that died.
//!
//! It reads the inverse rows of each shard again and again, a page at a time. Several instances may
//! sweep at once: the stamp is part of a row's key, so only the row that was checked is removed.

use super::handle::Admin;
use crate::metrics::Metrics;
use crate::shard::ReadPool;
use crate::store::Stored;
use aka_core::domain::InverseRow;
use aka_core::write::ORPHAN_AGE;
use std::sync::Arc;
use std::time::Duration;

/// Inverse rows that one query reads.
const PAGE: u32 = 1_000;

/// Sweeps all shards without end, with a pause after each page.
pub async fn sweep_forever(admin: Admin, metrics: Arc<Metrics>, pause: Duration) {
    let walks = admin.cluster.pools().iter().map(|pool| walk(&admin, pool, &metrics, pause));
    futures::future::join_all(walks).await;
}

async fn walk(admin: &Admin, pool: &ReadPool, metrics: &Metrics, pause: Duration) {
    let mut after = None;
    loop {
        tokio::time::sleep(pause).await;
        match sweep_page(admin, pool, after.as_ref(), metrics).await {
            Ok(last) => after = last,
            // This shard, or one with a forward row, cannot be reached. Sweep the same page again.
            Err(error) => tracing::debug!(shard = pool.shard().id.0, error, "the sweeper waits"),
        }
    }
}

/// Sweeps one page; returns its last row, or `None` at the end of the table.
async fn sweep_page(
    admin: &Admin,
    pool: &ReadPool,
    after: Option<&Stored<InverseRow>>,
    metrics: &Metrics,
) -> Result<Option<Stored<InverseRow>>, String> {
    let (now, page) = pool.scan_inverse(after, PAGE).await.map_err(|error| error.to_string())?;
    let old: Vec<InverseRow> = page
        .iter()
        .map(|stored| stored.row.clone())
        .filter(|row| now.since(row.created) >= ORPHAN_AGE)
        .collect();
    // One project at a time: `ForwardRows` is keyed by ids alone.
    for rows in old.chunk_by(|a, b| a.canonical.project() == b.canonical.project()) {
        let forward = admin.forward_rows(rows).await.map_err(|refusal| refusal.to_string())?;
        // A row with the same stamp and another canonical id was changed by hand. What is left of
        // the write shows what it was.
        for row in rows.iter().filter(|row| !forward.bear_stamp_of(row)) {
            tracing::info!(shard = pool.shard().id.0, "removing an orphaned inverse row");
            if admin.unpin(row.clone()).await {
                metrics.orphans_removed.increment(1);
            }
        }
    }
    let more = page.len() == PAGE as usize;
    Ok(page.into_iter().last().filter(|_| more))
}
