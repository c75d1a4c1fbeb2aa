//! The lanes send queries for keys, and their answers land (rules 1, 3, 4).
//!
//! Invariant: the cache is changed before the waiters are answered, and both under the stripe's
//! lock.

use super::Memory;
use crate::clock::Boottime;
use crate::coherence::answer::LookupFailure;
use crate::coherence::entry::{Entry, detached};
use crate::coherence::flight::{Answer, Degraded, Flight};
use crate::coherence::footprint::Footprint;
use crate::coherence::law::{self, Landing, Standing};
use crate::domain::{Key, Loaded};
use crate::mutant::{in_order, step, value};
use crate::sync::Ordering;
use bytes::Bytes;
use std::time::Duration;

/// The keys of one query.
pub struct Batch {
    /// The keys to ask for. If there are none, no query is sent.
    pub keys: Vec<Key>,
    epoch: u64,
    polls: u64,
    sent: Boottime,
}

/// The answer to a query, and all that counts for each of its keys.
struct Arrival {
    now: Boottime,
    epoch: u64,
    standing: Standing,
    polled_since: bool,
    /// As in [`law::is_primary`].
    from_primary: bool,
    /// As in [`law::load_proven_at`].
    proven_at: Option<Boottime>,
    seq: u64,
    /// As in [`law::shown_age`], at `now`.
    shown_age: Duration,
}

impl Memory {
    /// Begins a query of a lane. Call it before the query is sent. Keys that no reader waits for
    /// any more are left out.
    pub fn send(&self, keys: Vec<Key>, now: Boottime) -> Batch {
        // Both are noted before the query is sent. What happens while it is out counts against it.
        let (epoch, polls) = (self.epoch(), self.polls_begun.load(Ordering::Acquire));
        let mut batch = Batch { keys, epoch, polls, sent: now };
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

    /// Ends a query: `loaded` is its answer, which has come at `now`. Returns the keys that must be
    /// asked for again.
    pub fn land(&self, batch: Batch, loaded: &Loaded, now: Boottime) -> Vec<Key> {
        let arrival = self.arrival(&batch, loaded, now);
        let mut again = Vec::new();
        for key in batch.keys {
            let footprint = self.cache.footprint_of(&key);
            let mut stripe = self.stripes.lock(footprint);
            let stripe = &mut *stripe;
            let fence = stripe.fence;
            let Some(flight) = stripe.flights.get_mut(&key) else { continue };
            if arrival.epoch == self.epoch() && arrival.from_primary {
                stripe.newest_load = stripe.newest_load.max(arrival.seq);
            }
            let canonical = detached(loaded.rows.get(&key).map(|row| &row.canonical));
            if canonical.is_some() {
                // The load may be ahead of the feed. A reader that has seen the alias must not be
                // told "surely not an alias" afterwards.
                step!(FilterMissesLoads => self.filters.add(key.id_hash()));
            }
            let landing = Landing {
                seq: arrival.seq,
                // Read under the stripe's lock. Stripes are restarted after the epoch has risen, so
                // a load of the old epoch is noticed here or was restarted.
                same_epoch: arrival.epoch == self.epoch(),
                standing: arrival.standing,
                fence,
                overtaken: flight.was_overtaken(),
                polled_since: arrival.polled_since,
                from_primary: arrival.from_primary,
            };
            if self.land_one(&key, flight, &arrival, &landing, canonical) {
                stripe.flights.remove(&key);
            } else {
                again.push(key);
            }
        }
        again
    }

    fn arrival(&self, batch: &Batch, loaded: &Loaded, now: Boottime) -> Arrival {
        let from_primary = law::is_primary(&loaded.claim);
        // A server that is not the primary may have another history. That says nothing about the
        // primary's history.
        let standing = match from_primary {
            true => self.observe(loaded.at),
            false => self.history.lock().standing(loaded.at),
        };
        let proof_age = law::proof_age(&loaded.claim, loaded.now);
        let shown_age = law::shown_age(&loaded.claim, loaded.now);
        Arrival {
            now,
            epoch: value!(batch.epoch, OldEpochEnters => self.epoch()),
            standing,
            polled_since: batch.polls != self.polls_begun.load(Ordering::Acquire),
            from_primary,
            proven_at: law::load_proven_at(batch.sent, proof_age),
            seq: loaded.at.seq,
            shown_age: shown_age.saturating_add(now.since(batch.sent)),
        }
    }

    /// Keeps the load of one key if it may enter the cache, and gives it to the waiters that it
    /// satisfies. Returns true if no waiter is left. The stripe's lock is held.
    fn land_one(
        &self,
        key: &Key,
        flight: &mut Flight,
        arrival: &Arrival,
        landing: &Landing,
        canonical: Option<Bytes>,
    ) -> bool {
        if arrival.from_primary && !law::is_current(landing) {
            return flight.discard();
        }
        let footprint = self.cache.footprint_of(key);
        let answer = Answer {
            seq: arrival.seq,
            canonical: canonical.as_ref(),
            from_primary: arrival.from_primary,
            proven_at: arrival.proven_at,
        };
        let degraded = self.degraded(key, arrival, canonical.as_ref());
        let nobody_waits;
        // A reader that is answered may come again at once. It reads the cache without the stripe's
        // lock, and must not find the older entry.
        in_order!(AnsweredFirst =>
            self.keep(footprint, landing, canonical.clone(), arrival.epoch),
            nobody_waits = flight.land(&answer, degraded.as_ref())
        );
        nobody_waits
    }

    /// The degraded answer for those for whom a load is not proven: of memory or of the load,
    /// whichever knows more.
    fn degraded(
        &self,
        key: &Key,
        arrival: &Arrival,
        canonical: Option<&Bytes>,
    ) -> Option<Degraded> {
        let oldest = arrival.now.minus(self.limits.staleness);
        if law::is_proven(arrival.proven_at, oldest) && arrival.from_primary {
            // It is proven for every waiter that the round was sent for.
            return None;
        }
        let limit = self.limits.degraded;
        let stands_in = law::may_stand_in(arrival.standing);
        if !(stands_in && law::knows_more(arrival.seq, self.cursor()))
            && let Some(canonical) = self.last_known(key)
            && let Some(age) = self.freshness.age(arrival.now)
        {
            // The fences and the cursor are known here, so memory is above each floor.
            return Some(Degraded { canonical, seq: u64::MAX, age, limit });
        }
        stands_in.then(|| {
            let (seq, age) = (arrival.seq, arrival.shown_age);
            Degraded { canonical: canonical.cloned(), seq, age, limit }
        })
    }

    /// Puts a load into the cache if it may enter. Otherwise drops an older entry (rule 3).
    fn keep(&self, footprint: Footprint, landing: &Landing, canonical: Option<Bytes>, epoch: u64) {
        let may_enter = law::may_enter(landing);
        let may_enter = value!(may_enter, NegativesNotFenced => may_enter || canonical.is_none());
        if may_enter {
            let as_of = value!(landing.seq, AsOfGreatest => self.history.lock().greatest());
            self.cache.put(footprint, Entry { canonical, as_of, epoch });
        } else if landing.from_primary
            && self.held(footprint).is_some_and(|held| law::load_must_drop(held, landing.seq))
        {
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
