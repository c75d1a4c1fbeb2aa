//! Readers that memory could not answer at once: they join the flight of their key, or start it.

use super::{Memory, Need};
use crate::clock::Boottime;
use crate::coherence::flight::{Found, Gather, Outcome, Waiter};
use crate::coherence::law;
use crate::domain::Key;
use crate::mutant::sabotage;
use std::sync::Arc;

/// What [`Memory::join`] did.
pub enum Lookup {
    Found(Found),
    /// The reader waits for a flight that somebody else started.
    Joined,
    /// The reader started a flight: the key must be given to a lane.
    Started,
}

impl Memory {
    /// Answers from memory, or makes the reader wait for a load (rule 4). The answer to `index` is
    /// delivered to `gather`.
    pub fn join(&self, key: &Key, need: &Need, gather: &Arc<Gather>, index: u32) -> Lookup {
        let footprint = self.cache.footprint_of(key);
        let mut stripe = self.stripes.lock(footprint);
        // Between the reader's look into the cache and this lock the load that it missed may have
        // landed: without this look a burst of misses on one key could be two queries.
        let mut found = self.get(key.id_hash(), || footprint, need);
        sabotage!(JoinsBlindly => found = None);
        if let Some(found) = found {
            return Lookup::Found(found);
        }
        let floor = law::reader_floor(stripe.fence);
        let is_first = !stripe.flights.contains_key(key);
        // A query that was sent earlier would bring an answer that is too old for this reader.
        let staleness = self.limits.staleness.as_nanos() as u64;
        let oldest = Boottime::from_nanos(need.arrived.nanos().saturating_sub(staleness));
        let flight = stripe.flights.entry(key.clone()).or_default();
        let mut round = flight.earliest_round(law::needs_later_query(need.mark), oldest);
        sabotage!(NoFloor => round = 0);
        let outcome = if is_first { Outcome::Loaded } else { Outcome::Coalesced };
        flight.join(Waiter { gather: gather.clone(), index, floor, round, outcome, tries: 0 });
        if is_first { Lookup::Started } else { Lookup::Joined }
    }

    /// The last known answer, for a reader whom the database gives none (rules 6 and 8).
    pub fn get_degraded(&self, key: &Key, need: &Need, now: Boottime) -> Option<Found> {
        if !law::may_degrade(need.mark, self.freshness.age(now), self.limits.degraded) {
            return None;
        }
        if self.is_surely_none(key.id_hash()) {
            return Some(Found { canonical: None, outcome: Outcome::Degraded });
        }
        let entry = self.cache.get(self.cache.footprint_of(key))?;
        (entry.epoch == self.epoch())
            .then(|| Found { canonical: entry.canonical, outcome: Outcome::Degraded })
    }
}
