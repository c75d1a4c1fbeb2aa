//! Fills the filter by a scan of the ids of all aliases, a page at a time.

use super::{Keeper, ask};
use crate::store::StoreError;
use aka_core::coherence::FilterSource;
use aka_core::domain::Identity;
use aka_core::domain::SlotSet;
use std::time::Instant;

/// Ids that a page holds, at most.
const PAGE: u32 = 2_000;

/// Aliases that are counted to know about how many there are: chance makes a difference of a fifth of a
/// percent. Whatever the size of the table, no query looks at more.
const COUNTED: u32 = 200_000;

impl Keeper {
    pub(super) async fn scan(&mut self, identity: &Identity) -> Result<(), StoreError> {
        let shard = self.shard.clone();
        let keys = self.count(identity).await?;
        let Some(mut scan) = shard.memory.begin_filter(keys) else { return Ok(()) };
        shard.metrics.filter_scans.increment(1);
        let (began, mut last, mut found, connection) =
            (Instant::now(), None, 0, &mut self.connection);
        loop {
            let asked = Instant::now();
            let (at, page) = ask!(connection, |session| session.scan_keys(last.as_ref(), PAGE))?;
            if !shard.memory.add_filter_page(&mut scan, at, page.iter().map(|(_, key)| key)) {
                // It may lead to a replica that lags behind.
                connection.close();
                return Ok(());
            }
            found += page.len();
            if page.len() < PAGE as usize {
                shard.memory.end_filter(scan);
                self.saved = None;
                shard.metrics.filter_builds.of(FilterSource::Scan).increment(1);
                let seconds = began.elapsed().as_secs_f64();
                tracing::info!(
                    shard = shard.id.0,
                    aliases = found,
                    seconds,
                    "the filter is filled"
                );
                return Ok(());
            }
            last = page.into_iter().last();
            // The primary has other things to do: it is asked for half of the time at the most.
            tokio::time::sleep(asked.elapsed()).await;
        }
    }

    /// About how many aliases there are.
    async fn count(&mut self, identity: &Identity) -> Result<u64, StoreError> {
        let mut limit = COUNTED;
        loop {
            let connection = &mut self.connection;
            match ask!(connection, |session| session.count_first(limit)) {
                Ok(counts) => {
                    return Ok(estimate(&counts, limit, &identity.slots));
                }
                // A guess from fewer is better than none.
                Err(StoreError::TimedOut { .. }) if limit > PAGE => limit /= 4,
                Err(error) => return Err(error),
            }
        }
    }
}

/// How many aliases there are, guessed from how many of the first `limit` are in each slot: keys are
/// spread evenly over the slots that the shard owns.
///
/// Where not even the first slot is counted to its end the guess is too low. Then the filter turns out to
/// be worn as soon as it is filled, and the next is made for as many as that holds.
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
    fn it_guesses_how_many_there_are() {
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
