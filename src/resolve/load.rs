//! Loads of the keys that memory did not answer, and the wait for them.

use super::read::{Miss, Read, TURN};
use super::resolution::Resolution;
use crate::metrics::LookupResult;
use aka_core::clock::Boottime;
use aka_core::coherence::{Found, Gather, Lookup, LookupFailure, Outcome};
use aka_core::domain::Key;
use std::collections::HashMap;
use std::sync::Arc;

impl Read<'_> {
    /// Waits for loads of the misses until the deadline.
    pub async fn load(&self, mut misses: Vec<Miss>, resolution: &mut Resolution) {
        let gather = Gather::new(misses.len(), self.terms.until);
        let leave = LeaveOnDrop(&gather);
        let mut keys: HashMap<u32, Key> =
            misses.iter().map(|miss| (miss.index, miss.key.clone())).collect();
        while !misses.is_empty() {
            let later = misses.split_off(misses.len().min(TURN));
            self.join(misses, &gather);
            misses = later;
            if !misses.is_empty() {
                tokio::task::yield_now().await;
            }
        }
        let left = self.terms.until.since(Boottime::now());
        let complete = tokio::time::timeout(left, gather.complete()).await.is_ok();
        drop(leave);
        for (index, answer) in gather.take() {
            if let Some(key) = keys.remove(&index) {
                self.settle(index, &key, answer, resolution);
            }
        }
        debug_assert!(!complete || keys.is_empty());
        for (index, key) in keys {
            self.settle(index, &key, Err(LookupFailure::DeadlineExceeded), resolution);
        }
    }

    /// Fails all misses, because they may not be loaded. Whoever can is given a degraded answer.
    pub fn refuse(&self, misses: Vec<Miss>, resolution: &mut Resolution) {
        for Miss { index, key } in misses {
            self.settle(index, &key, Err(LookupFailure::Overloaded), resolution);
        }
    }

    /// Joins the flights of all misses, and gives the keys of new flights to the lanes.
    fn join(&self, misses: Vec<Miss>, gather: &Arc<Gather>) {
        let mut started: HashMap<u16, Vec<Key>> = HashMap::new();
        for Miss { index, key } in misses {
            let Some(shard) = self.cluster.shard_of(&key) else {
                // Its shard has not been reached since the start.
                gather.deliver(index, Err(self.cluster.unowned()));
                continue;
            };
            match shard.memory.join(&key, &self.need(shard), gather, index) {
                Lookup::Found(found) => gather.deliver(index, Ok(found)),
                Lookup::Joined => {}
                Lookup::Started => started.entry(shard.id.0).or_default().push(key),
            }
        }
        for (shard, keys) in started {
            if let Some(shard) = self.cluster.shards().get(usize::from(shard)) {
                shard.enqueue(keys);
            }
        }
    }

    /// Adds one answer to the resolution. A failure is replaced by a degraded answer if there is
    /// one.
    fn settle(
        &self,
        index: u32,
        key: &Key,
        answer: Result<Found, LookupFailure>,
        resolution: &mut Resolution,
    ) {
        let answer = match answer {
            Err(failure) => self.degraded(key).ok_or(failure),
            found => found,
        };
        let result = match &answer {
            Ok(found) => LookupResult::Answered(found.outcome),
            Err(failure) => LookupResult::Failed(*failure),
        };
        self.lookups.of(result).increment(1);
        match answer {
            Ok(found) => {
                resolution.degraded |= found.outcome == Outcome::Degraded;
                if let Some(canonical) = found.canonical {
                    resolution.aliases.push(index, &canonical);
                }
            }
            Err(failure) => resolution.failures.push((index, failure)),
        }
    }

    fn degraded(&self, key: &Key) -> Option<Found> {
        let shard = self.cluster.shard_of(key)?;
        shard.memory.get_degraded(key, &self.need(shard), Boottime::now())
    }
}

/// Leaves the flights when the wait ends, also when the request's future is dropped.
struct LeaveOnDrop<'a>(&'a Gather);

impl Drop for LeaveOnDrop<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}
