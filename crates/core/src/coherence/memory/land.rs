//! The lanes send queries for keys, and their answers land (rules 1, 3, 4).
//!
//! Invariant: the cache is changed before the waiters are answered, and both under the stripe's
//! lock.

use super::Memory;
use crate::clock::Boottime;
use crate::coherence::answer::LookupFailure;
use crate::coherence::entry::{Entry, detached};
use crate::coherence::flight::Flight;
use crate::coherence::footprint::Footprint;
use crate::coherence::law::{self, Landing};
use crate::domain::{Key, Loaded};
use crate::mutant::{in_order, step, value};
use crate::sync::Ordering;
use bytes::Bytes;

/// The keys of one query.
pub struct Batch {
    /// The keys to ask for. If there are none, no query is sent.
    pub keys: Vec<Key>,
    epoch: u64,
    polls: u64,
}

impl Memory {
    /// Begins a query of a lane. Call it before the query is sent. Keys that no reader waits for
    /// any more are left out.
    pub fn send(&self, keys: Vec<Key>, now: Boottime) -> Batch {
        // Both are noted before the query is sent. What happens while it is out counts against it.
        let (epoch, polls) = (self.epoch(), self.polls_begun.load(Ordering::Acquire));
        let mut batch = Batch { keys, epoch, polls };
        batch.keys.retain(|key| {
            let mut stripe = self.stripes.lock(self.cache.footprint_of(key));
            let Some(flight) = stripe.flights.get_mut(key) else { return false };
            let wanted = flight.send(now);
            if !wanted {
                stripe.flights.remove(key);
            }
            wanted
        });
        batch
    }

    /// Ends a query: `loaded` is its answer. Returns the keys that must be asked for again.
    pub fn land(&self, batch: Batch, loaded: &Loaded) -> Vec<Key> {
        let standing = self.observe(loaded.at);
        let epoch = value!(batch.epoch, OldEpochEnters => self.epoch());
        let mut again = Vec::new();
        for key in batch.keys {
            let footprint = self.cache.footprint_of(&key);
            let mut stripe = self.stripes.lock(footprint);
            let fence = stripe.fence;
            let Some(flight) = stripe.flights.get_mut(&key) else { continue };
            let canonical = detached(loaded.rows.get(&key).map(|row| &row.canonical));
            if canonical.is_some() {
                // The load may be ahead of the feed. A reader that has seen the alias must not be
                // told "surely not an alias" afterwards.
                step!(FilterMissesLoads => self.filters.add(key.id_hash()));
            }
            let landing = Landing {
                seq: loaded.at.seq,
                // Read under the stripe's lock. Stripes are restarted after the epoch has risen, so
                // a load of the old epoch is noticed here or was restarted.
                same_epoch: epoch == self.epoch(),
                standing,
                fence,
                overtaken: flight.was_overtaken(),
                polled_since: batch.polls != self.polls_begun.load(Ordering::Acquire),
            };
            if self.land_one(footprint, flight, &landing, canonical, epoch) {
                stripe.flights.remove(&key);
            } else {
                again.push(key);
            }
        }
        again
    }

    /// Keeps the load of one key if it may enter the cache, and gives it to the waiters that it
    /// satisfies. Returns true if no waiter is left. The stripe's lock is held.
    fn land_one(
        &self,
        footprint: Footprint,
        flight: &mut Flight,
        landing: &Landing,
        canonical: Option<Bytes>,
        epoch: u64,
    ) -> bool {
        if !law::is_current(landing) {
            return flight.discard();
        }
        let nobody_waits;
        // A reader that is answered may come again at once. It reads the cache without the stripe's
        // lock, and must not find the older entry.
        in_order!(AnsweredFirst =>
            self.keep(footprint, landing, canonical.clone(), epoch),
            nobody_waits = flight.land(landing.seq, canonical.as_ref())
        );
        nobody_waits
    }

    /// Puts a load into the cache if it may enter. Otherwise drops an older entry (rule 3).
    fn keep(&self, footprint: Footprint, landing: &Landing, canonical: Option<Bytes>, epoch: u64) {
        let may_enter = law::may_enter(landing);
        let may_enter = value!(may_enter, NegativesNotFenced => may_enter || canonical.is_none());
        if may_enter {
            let as_of = value!(landing.seq, AsOfGreatest => self.history.lock().greatest());
            self.cache.put(footprint, Entry { canonical, as_of, epoch });
        } else if self.held(footprint).is_some_and(|held| law::load_must_drop(held, landing.seq)) {
            self.cache.remove(footprint);
        }
    }

    /// Fails all waiters of these keys, because the query could not be answered. The failure is not
    /// remembered.
    pub fn fail(&self, keys: &[Key], failure: LookupFailure) {
        for key in keys {
            let flight = self.stripes.lock(self.cache.footprint_of(key)).flights.remove(key);
            if let Some(flight) = flight {
                flight.fail(failure);
            }
        }
    }
}
