//! Fills the filter of a shard: scans the ids of all aliases, a page at a time, while serving goes on
//! without it.

use super::{Link, Shard, ask};
use crate::domain::{SLOTS, Slot};
use crate::store::{Role, StoreError};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Ids that a page holds, at most.
const PAGE: u32 = 2_000;

/// The slots whose ids are counted to know about how many there are in all: one in sixteen.
const SAMPLED: u32 = 16;

/// How often it is looked whether a new filter is wanted.
const PAUSE: Duration = Duration::from_millis(250);

/// The same after attempts that failed, at the most.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Sees to it that there is a filter; it ends when `stop` is cancelled.
pub(super) async fn run(shard: Arc<Shard>, stop: CancellationToken) {
    if !shard.settings.filter {
        return;
    }
    let task = async {
        let mut link = Link::new(shard.clone(), Role::Read);
        let mut pause = PAUSE;
        loop {
            tokio::time::sleep(pause).await;
            if !shard.memory.wants_filter() {
                continue;
            }
            match scan(&shard, &mut link).await {
                Ok(()) => pause = PAUSE,
                Err(error) => {
                    // A table that is too large to be counted in time must not be counted for ever.
                    pause = (2 * pause).min(LONGEST_PAUSE);
                    tracing::warn!(shard = shard.id.0, %error, "the filter's scan begins anew");
                }
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = task => {}
    }
}

async fn scan(shard: &Shard, link: &mut Link) -> Result<(), StoreError> {
    if shard.memory.cursor().is_none() {
        return Ok(());
    }
    let keys = estimate(shard, link).await?;
    let Some(mut scan) = shard.memory.begin_filter(keys) else { return Ok(()) };
    shard.metrics.filter_scans.increment(1);
    let (began, mut last, mut found) = (Instant::now(), None, 0);
    loop {
        let asked = Instant::now();
        let (at, page) = ask!(&mut *link, |session| session.scan_keys(last.as_ref(), PAGE))?;
        if !shard.memory.add_filter_page(&mut scan, at, page.iter().map(|(_, key)| key)) {
            // It may lead to a replica that lags behind.
            link.close();
            return Ok(());
        }
        found += page.len();
        if page.len() < PAGE as usize {
            shard.memory.end_filter(scan);
            let seconds = began.elapsed().as_secs_f64();
            tracing::info!(shard = shard.id.0, aliases = found, seconds, "the filter is filled");
            return Ok(());
        }
        last = page.into_iter().last();
        // The primary has other things to do: it is asked for half of the time at the most.
        tokio::time::sleep(asked.elapsed()).await;
    }
}

/// About how many aliases there are. Keys are spread evenly over the slots.
async fn estimate(shard: &Shard, link: &mut Link) -> Result<u64, StoreError> {
    let owned: Vec<Slot> = Slot::all().filter(|&slot| shard.owns(slot)).collect();
    let Some(edge) = owned.get(owned.len() / SAMPLED as usize) else { return Ok(0) };
    let sampled = owned.iter().filter(|&slot| slot < edge).count() as u64;
    if sampled == 0 {
        return ask!(link, |session| session.count_keys(SLOTS));
    }
    let counted = ask!(link, |session| session.count_keys(edge.get()))?;
    Ok(counted * owned.len() as u64 / sampled)
}
