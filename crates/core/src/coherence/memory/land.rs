//! Loads: a lane sends a query for some keys, and its answer lands.

use super::Memory;
use crate::clock::Boottime;
use crate::coherence::entry::{Entry, detached};
use crate::coherence::flight::{Flight, LookupFailure};
use crate::coherence::footprint::Footprint;
use crate::coherence::law::{self, Landing};
use crate::domain::{Key, Loaded};
use crate::mutant::{sabotage, step};
use crate::sync::Ordering;
use bytes::Bytes;

/// Keys that a lane sends in one query.
pub struct Batch {
    pub keys: Vec<Key>,
    epoch: u64,
    polls: u64,
}

impl Memory {
    /// A lane is about to ask for these keys. Those that nobody waits for any more are left out.
    pub fn send(&self, keys: Vec<Key>, now: Boottime) -> Batch {
        // Both are noted before the query is sent: what happens meanwhile counts against it.
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

    /// A lane's query was answered (rules 1, 3, 4, 7). Returns the keys to be asked for again.
    pub fn land(&self, mut batch: Batch, loaded: &Loaded) -> Vec<Key> {
        let standing = self.observe(loaded.at);
        sabotage!(OldEpochEnters => batch.epoch = self.epoch());
        let mut again = Vec::new();
        for key in std::mem::take(&mut batch.keys) {
            let footprint = self.cache.footprint_of(&key);
            let mut stripe = self.stripes.lock(footprint);
            let fence = stripe.fence;
            let Some(flight) = stripe.flights.get_mut(&key) else { continue };
            let canonical = detached(loaded.rows.get(&key).map(|row| &row.canonical));
            if canonical.is_some() {
                // It may be ahead of the feed: who has seen it must not be told "surely not".
                step!(FilterMissesLoads => self.add_to_filters(key.id_hash()));
            }
            let landing = Landing {
                seq: loaded.at.seq,
                // Under the stripe's lock: whoever begins an epoch restarts the stripe after it has
                // raised the epoch. So a load of the old epoch is seen here, or is restarted.
                same_epoch: batch.epoch == self.epoch(),
                standing,
                fence,
                overtaken: flight.was_overtaken(),
                polled_since: batch.polls != self.polls_begun.load(Ordering::Acquire),
            };
            if self.land_one(footprint, flight, &landing, canonical, batch.epoch) {
                stripe.flights.remove(&key);
            } else {
                again.push(key);
            }
        }
        again
    }

    /// Keeps the load of one key if it may be kept, and gives it to the readers whom it satisfies. True if
    /// nobody waits any more. The stripe's lock is held.
    fn land_one(
        &self,
        footprint: Footprint,
        flight: &mut Flight,
        landing: &Landing,
        canonical: Option<Bytes>,
        epoch: u64,
    ) -> bool {
        let is_current = law::is_current(landing);
        if is_current {
            sabotage!(AnsweredFirst => flight.land(landing.seq, canonical.as_ref()));
        }
        let mut may_enter = law::may_enter(landing);
        sabotage!(NegativesNotFenced => may_enter |= is_current && canonical.is_none());
        // The entry before the answers: who has been answered may come again at once, and looks into the
        // cache without this lock. It must not find the older entry there.
        if may_enter {
            let mut as_of = landing.seq;
            sabotage!(AsOfGreatest => as_of = self.history.lock().greatest());
            self.cache.put(footprint, Entry { canonical: canonical.clone(), as_of, epoch });
        } else if is_current
            && self.held(footprint).is_some_and(|held| law::load_must_drop(held, landing.seq))
        {
            self.cache.remove(footprint);
        }
        match is_current {
            true => flight.land(landing.seq, canonical.as_ref()),
            false => flight.discard(),
        }
    }

    /// The keys could not be asked for: their readers are told so. Nothing is remembered of it.
    pub fn fail(&self, keys: &[Key], failure: LookupFailure) {
        for key in keys {
            let flight = self.stripes.lock(self.cache.footprint_of(key)).flights.remove(key);
            if let Some(flight) = flight {
                flight.fail(failure);
            }
        }
    }
}
