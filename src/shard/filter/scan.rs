//! Fills the filter by a scan of all aliases, a page at a time. The pages also fill the cache, while
//! there is room: so the first lookups of an instance find their answers in memory.

use super::super::connection::{ShardConnection, ask};
use crate::store::{AliasPage, StoreError};
use aka_core::coherence::FilterSource;
use aka_core::domain::SlotSet;
use std::time::Instant;

/// Aliases that a page holds, at most.
const PAGE: u32 = 2_000;

/// Aliases that are counted to estimate the number of all. The error is about a fifth of a percent,
/// and the query is as cheap for a large table as for a small one.
const COUNTED: u32 = 200_000;

/// False if the scan was given up.
pub(super) async fn scan(
    connection: &mut ShardConnection,
    owned: &SlotSet,
) -> Result<bool, StoreError> {
    let shard = connection.shard.clone();
    let keys = count(connection, owned).await?;
    let Some(mut scan) = shard.memory.begin_filter(keys) else { return Ok(false) };
    shard.metrics.filter_scans.increment(1);
    let (began, mut last, mut aliases) = (Instant::now(), None, 0);
    let (mut cached, mut fills) = (0, true);
    loop {
        let (asked, pending) = (Instant::now(), shard.memory.begin_page());
        let page = ask!(&mut *connection, |session| session.scan_aliases(last.as_ref(), PAGE))?;
        let AliasPage { at, claim, aliases: page } = page;
        fills = fills && shard.memory.has_room();
        if fills {
            let rows = page.iter().map(|stored| (&stored.key, &stored.row));
            cached += shard.memory.fill(pending, at, &claim, rows);
        }
        if !shard.memory.add_filter_page(&mut scan, at, page.iter().map(|stored| &stored.key)) {
            // The connection may lead to a replica that lags behind.
            connection.close();
            return Ok(false);
        }
        aliases += page.len();
        if page.len() < PAGE as usize {
            shard.memory.end_filter(scan);
            shard.metrics.filter_builds.of(FilterSource::Scan).increment(1);
            let seconds = began.elapsed().as_secs_f64();
            tracing::info!(shard = shard.id.0, aliases, cached, seconds, "the filter is filled");
            return Ok(true);
        }
        last = page.into_iter().last();
        // Half of the time at most is spent on queries: the primary has other work.
        tokio::time::sleep(asked.elapsed()).await;
    }
}

/// About how many aliases there are.
async fn count(connection: &mut ShardConnection, owned: &SlotSet) -> Result<u64, StoreError> {
    let mut limit = COUNTED;
    loop {
        match ask!(&mut *connection, |session| session.count_first(limit)) {
            Ok(counts) => return Ok(estimate(&counts, limit, owned)),
            // An estimate from fewer aliases is better than none.
            Err(StoreError::TimedOut { .. }) if limit > PAGE => limit /= 4,
            Err(error) => return Err(error),
        }
    }
}

/// Estimates the number of aliases from the first `limit` of them, which are counted by slot. Ids
/// are spread evenly over the slots of the shard.
///
/// If even the first slot holds more than `limit`, the estimate is too low. Then the filter is worn
/// as soon as it is filled, and the next one is made for as many ids as it holds.
fn estimate(counts: &[(u16, u64)], limit: u32, owned: &SlotSet) -> u64 {
    let counted: u64 = counts.iter().map(|(_, count)| count).sum();
    let Some((&(last, in_last), before)) = counts.split_last() else { return 0 };
    if counted < u64::from(limit) {
        return counted;
    }
    // The last slot was not counted to its end.
    let (slots, count) = match before {
        [] => (1, in_last),
        _ => (owned.iter().filter(|slot| slot.get() < last).count().max(1), counted - in_last),
    };
    (u128::from(count) * owned.len() as u128 / slots as u128) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_aliases_is_estimated() {
        let all = |counts, limit| estimate(counts, limit, &SlotSet::all());
        assert_eq!(all(&[], 10), 0);
        assert_eq!(all(&[(0, 3), (9, 4)], 10), 7, "all were counted");
        assert_eq!(
            all(&[(0, 3), (1, 3), (2, 4)], 10),
            6 * 4096 / 2,
            "slots 0 and 1, to their ends"
        );
        assert_eq!(all(&[(3, 8), (4, 2)], 10), 8 * 4096 / 4, "slots without aliases count");
        assert_eq!(all(&[(0, 10)], 10), 10 * 4096, "at least");
        let some = |counts, owned: &str| estimate(counts, 10, &owned.parse().expect("slots"));
        assert_eq!(some(&[(5, 8), (7, 2)], "5,7"), 16);
        assert_eq!(some(&[(5, 10)], "5"), 10);
    }
}
