//! Readers that missed join the flight of their key, or start one (rule 4).

use super::{Memory, Need};
use crate::clock::Boottime;
use crate::coherence::answer::{Found, Outcome};
use crate::coherence::flight::Waiter;
use crate::coherence::gather::Gather;
use crate::coherence::law;
use crate::domain::Key;
use crate::mutant::step;
use bytes::Bytes;
use std::sync::Arc;

/// What [`Memory::join`] did.
pub enum Lookup {
    /// Memory could answer after all.
    Found(Found),
    /// The reader waits for a flight that was there already.
    Joined,
    /// The reader started a flight. The key must be given to a lane.
    Started,
}

impl Memory {
    /// Answers from memory, or makes the reader wait for a load. In the second case the answer is
    /// delivered to `gather`, at `index`.
    pub fn join(&self, key: &Key, need: &Need, gather: &Arc<Gather>, index: u32) -> Lookup {
        let footprint = self.cache.footprint_of(key);
        let mut stripe = self.stripes.lock(footprint);
        // The load that the reader missed may have landed since. Without this second look, a burst
        // of misses of one key could be two queries (P12).
        step!(JoinsBlindly => if let Some(found) = self.get(key.id_hash(), || footprint, need) {
            return Lookup::Found(found);
        });
        let token = need.mark;
        let floor = law::reader_floor(stripe.fence, token);
        let is_first = !stripe.flights.contains_key(key);
        // A query that was sent before this brings an answer that is too old for the reader.
        let staleness = self.limits.staleness.as_nanos() as u64;
        let oldest = Boottime::from_nanos(need.arrived.nanos().saturating_sub(staleness));
        let flight = stripe.flights.entry(key.clone()).or_default();
        let round = flight.earliest_round(law::needs_later_query(token), oldest);
        let outcome = if is_first { Outcome::Loaded } else { Outcome::Coalesced };
        let gather = gather.clone();
        flight.join(Waiter { gather, index, floor, token, round, oldest, outcome, tries: 0 });
        if is_first { Lookup::Started } else { Lookup::Joined }
    }

    /// The last known state as a degraded answer, for a reader that the database did not answer
    /// (rules 6 and 8). `None` if the reader may not have it, or nothing is known.
    pub fn get_degraded(&self, key: &Key, need: &Need, now: Boottime) -> Option<Found> {
        if !law::may_degrade(need.mark, self.freshness.age(now), self.limits.degraded) {
            return None;
        }
        let canonical = self.last_known(key)?;
        Some(Found { canonical, outcome: Outcome::Degraded })
    }

    /// The last known state of a key. `None` if nothing is known in this epoch.
    pub(super) fn last_known(&self, key: &Key) -> Option<Option<Bytes>> {
        if self.is_surely_none(key.id_hash()) {
            return Some(None);
        }
        let entry = self.cache.get(self.cache.footprint_of(key))?;
        (entry.epoch == self.epoch()).then_some(entry.canonical)
    }
}
