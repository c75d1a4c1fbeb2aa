//! All that one instance remembers of one shard.

mod audit;

pub use audit::{Recalled, Verdict};

use super::cache::{Cache, Entry, Footprint, detached};
use super::flight::{Failure, Found, Gather, Source, Waiter};
use super::freshness::Freshness;
use super::history::{History, Standing};
use super::stripe::Stripes;
use crate::clock::Boottime;
use crate::domain::{Change, Key, Position};
use crate::hooks;
use crate::store::{Loaded, Look};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How old an answer may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Older answers are not given from memory. 0: no answer is.
    pub staleness: Duration,
    /// If the database does not answer either, older ones are, marked so. 0: never.
    pub degraded: Duration,
}

/// What a reader needs.
#[derive(Clone, Copy, Debug)]
pub struct Need {
    /// When its request arrived.
    pub arrived: Boottime,
    /// The position that its token names on this shard.
    pub mark: Option<Position>,
}

/// What [`Memory::join`] did.
pub enum Lookup {
    Found(Found),
    /// The reader waits for a flight that somebody else started.
    Joined,
    /// The reader started a flight: the key must be given to a lane.
    Started,
}

/// Keys that a lane sends in one query.
pub struct Batch {
    pub keys: Vec<Key>,
    epoch: u64,
    looks: u64,
}

/// A look that is about to begin.
pub struct LookAhead {
    started: Boottime,
    epoch: u64,
    greatest: u64,
    /// From where to look; `None`: only the clock is wanted.
    pub cursor: Option<Position>,
}

/// How a look ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookEnd {
    /// All changes are applied; so many.
    Complete(usize),
    /// More changes are waiting: look again at once.
    More(usize),
    /// A new epoch began, for this reason.
    NewEpoch(&'static str),
}

/// What came of one change of a look.
enum Applied {
    Yes,
    /// Another epoch began: the look is worthless.
    OtherEpoch,
    Contradiction,
}

/// All that one instance remembers of one shard.
pub struct Memory {
    cache: Arc<Cache>,
    stripes: Stripes,
    history: Mutex<History>,
    freshness: Freshness,
    limits: Limits,
    /// Held while an epoch begins, so that two never begin at once. Taken before all other locks; a
    /// stripe's lock is taken before that of the history, which is never held while taking another.
    beginning: Mutex<()>,
    /// Rises with each new history and with each setting of the cursor, under the history's lock.
    epoch: AtomicU64,
    /// Rises with each contradiction: connections that were opened before may lead to an old primary.
    contradictions: AtomicU64,
    looks_begun: AtomicU64,
}

impl Memory {
    pub fn new(cache: Arc<Cache>, limits: Limits) -> Self {
        Self {
            cache,
            stripes: Stripes::new(),
            history: Mutex::default(),
            beginning: Mutex::default(),
            freshness: Freshness::default(),
            limits,
            epoch: AtomicU64::new(0),
            contradictions: AtomicU64::new(0),
            looks_begun: AtomicU64::new(0),
        }
    }

    pub fn freshness(&self) -> &Freshness {
        &self.freshness
    }

    /// The last position that was applied.
    pub fn cursor(&self) -> Option<Position> {
        self.history.lock().cursor()
    }

    /// Counts the histories that were given up. A connection older than the last is to be closed.
    pub fn contradictions(&self) -> u64 {
        self.contradictions.load(Ordering::Acquire)
    }

    fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    // ---- readers

    /// Answers from memory, if it knows and may say so (rules 6 and 8).
    pub fn get(&self, place: Footprint, project: u64, id: &[u8], need: &Need) -> Option<Found> {
        if !self.freshness.is_within(self.limits.staleness, need.arrived) {
            return None;
        }
        // The token before the entry: a change that the feed applies in between is then in the entry.
        // The epoch last: what was asked before was the history of the entry's epoch, then.
        let cursor = self.reached(need)?;
        let entry = self.cache.get(place, project, id)?;
        // An entry ahead of the feed is of a history that nobody has checked yet: it serves no token.
        let serves = cursor.is_none_or(|cursor| entry.as_of <= cursor.seq);
        (serves && entry.epoch == self.epoch()).then(|| found(entry))
    }

    /// For a reader with a token that this instance has applied: the cursor. `Some(None)` for a reader
    /// without one, `None` if the token is not applied here (yet).
    fn reached(&self, need: &Need) -> Option<Option<Position>> {
        let Some(mark) = need.mark else { return Some(None) };
        let history = self.history.lock();
        (history.standing(mark) == Standing::Applied).then(|| history.cursor())
    }

    /// The last known answer, where the database gives none (rule 6). Never for a token (rule 8).
    pub fn get_degraded(&self, key: &Key, need: &Need) -> Option<Found> {
        if need.mark.is_some() || !self.freshness.is_within(self.limits.degraded, Boottime::now()) {
            return None;
        }
        let entry = self.cache.get_key(self.cache.footprint_of(key), key)?;
        (entry.epoch == self.epoch())
            .then(|| Found { source: Source::Degraded, canonical: entry.canonical })
    }

    /// Answers from memory, or makes the reader wait for a load. The answer to `index` is delivered
    /// to `gather`.
    pub fn join(&self, key: &Key, need: &Need, gather: &Arc<Gather>, index: u32) -> Lookup {
        let place = self.cache.footprint_of(key);
        let mut stripe = self.stripes.lock(place);
        // Between the reader's look into the cache and this lock the load that it missed may have
        // landed: without this look a burst of misses on one key could be two queries.
        let (project, id) = (key.project().get(), key.id().as_bytes());
        if let Some(found) = self.get(place, project, id, need) {
            return Lookup::Found(found);
        }
        let floor = if hooks::mutant("no_floor") { 0 } else { stripe.fence };
        let fresh = !stripe.flights.contains_key(key);
        // Not before the reader's token, and not so long ago that the answer would be too old.
        let oldest = Boottime::from_nanos(
            need.arrived.nanos().saturating_sub(self.limits.staleness.as_nanos() as u64),
        );
        let flight = stripe.flights.entry(key.clone()).or_default();
        let round = match hooks::mutant("no_floor") {
            true => 0,
            false => flight.earliest_round(need.mark.is_some(), oldest),
        };
        let source = if fresh { Source::Loaded } else { Source::Coalesced };
        flight.join(Waiter { gather: gather.clone(), index, floor, round, source, tries: 0 });
        if fresh { Lookup::Started } else { Lookup::Joined }
    }

    // ---- lanes

    /// A lane is about to ask for these keys. Those that nobody waits for any more are left out.
    pub fn send(&self, keys: Vec<Key>, now: Boottime) -> Batch {
        // Both are noted before the query is sent: what happens meanwhile counts against it.
        let (epoch, looks) = (self.epoch(), self.looks_begun.load(Ordering::Acquire));
        let mut batch = Batch { keys, epoch, looks };
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
    pub fn land(&self, batch: Batch, loaded: &Loaded) -> Vec<Key> {
        let standing = self.observe(loaded.at);
        let Batch { keys, epoch, looks } = batch;
        let mut again = Vec::new();
        for key in keys {
            let place = self.cache.footprint_of(&key);
            let mut stripe = self.stripes.lock(place);
            let fence = stripe.fence;
            let Some(flight) = stripe.flights.get_mut(&key) else { continue };
            // Under the stripe's lock: whoever begins an epoch restarts the stripe after it has
            // raised the epoch, so a load of the old epoch either is seen here or is restarted.
            let current = epoch == self.epoch() && standing != Standing::Forgotten;
            let canonical = detached(loaded.rows.get(&key).map(|row| &row.canonical));
            let may_enter = current
                && (hooks::mutant("no_fence")
                    || (loaded.at.seq >= fence && !flight.was_overtaken()))
                && match standing {
                    Standing::Applied => true,
                    // Nobody has checked this history yet: it may be one that a look, begun since,
                    // has already left behind.
                    Standing::Ahead => looks == self.looks_begun.load(Ordering::Acquire),
                    _ => false,
                };
            let landed = match current {
                true => flight.land(loaded.at.seq, canonical.as_ref()),
                false => flight.discard(),
            };
            if landed {
                stripe.flights.remove(&key);
            } else {
                again.push(key.clone());
            }
            if may_enter {
                self.cache.put(place, &key, Entry { canonical, as_of: loaded.at.seq, epoch });
            } else if current && self.holds_older(place, &key, loaded.at.seq) {
                self.cache.remove(place, &key);
            }
        }
        again
    }

    /// The keys could not be asked for: their readers are told so. Nothing is remembered of it.
    pub fn fail(&self, keys: &[Key], failure: Failure) {
        for key in keys {
            let flight = self.stripes.lock(self.cache.footprint_of(key)).flights.remove(key);
            if let Some(flight) = flight {
                flight.fail(failure);
            }
        }
    }

    // ---- writers

    /// A write of this instance was committed, or a row of `key` was shown to an admin as of `at`
    /// (rule 5). Called before the acknowledgement: who reads after it finds no older answer.
    pub fn wrote(&self, key: &Key, at: Position) {
        let epoch = self.epoch();
        self.observe(at);
        let place = self.cache.footprint_of(key);
        let mut stripe = self.stripes.lock(place);
        if epoch != self.epoch() {
            // An epoch began after the commit: nothing older is left, every load of the new epoch
            // is sent after the commit, and the new history may not know this seq.
            return;
        }
        stripe.fence = stripe.fence.max(at.seq);
        if let Some(flight) = stripe.flights.get_mut(key) {
            flight.overtake();
        }
        if self.holds_older(place, key, at.seq) {
            self.cache.remove(place, key);
        }
    }

    fn holds_older(&self, place: Footprint, key: &Key, seq: u64) -> bool {
        let epoch = self.epoch();
        let entry = self.cache.get_key(place, key);
        entry.is_some_and(|entry| entry.epoch != epoch || entry.as_of < seq)
    }

    // ---- the feed

    /// A look is about to be sent.
    pub fn look(&self, now: Boottime) -> LookAhead {
        let history = self.history.lock();
        self.looks_begun.fetch_add(1, Ordering::AcqRel);
        LookAhead {
            started: now,
            epoch: self.epoch(),
            greatest: history.greatest(),
            cursor: history.cursor(),
        }
    }

    /// A look was answered (rules 2, 6, 7).
    pub fn looked(&self, ahead: &LookAhead, look: &Look) -> LookEnd {
        if ahead.epoch != self.epoch() {
            // Somebody else began an epoch meanwhile; the next look belongs to it.
            return LookEnd::More(0);
        }
        // Compared with what was brought before the look began: a write that was committed after
        // the look's snapshot is no contradiction.
        if look.at.seq < ahead.greatest {
            return self.contradicted("the shard's clock went back");
        }
        let Some(cursor) = ahead.cursor else {
            return self.start(look.at, ahead);
        };
        let mut changes = look.changes.as_slice();
        match changes.split_first() {
            Some((first, rest)) if first.at == cursor => changes = rest,
            Some((first, _)) if first.at.seq == cursor.seq => {
                return self.contradicted("the log holds another change at the cursor");
            }
            // Before the first change there is none to compare, only the clock.
            _ if cursor.seq == 0 && (look.at.seq > 0 || look.at == cursor) => {}
            _ => return self.contradicted("the log was pruned past the cursor"),
        }
        for (change, expected) in changes.iter().zip(cursor.seq + 1..) {
            if change.at.seq != expected {
                return self.contradicted("the log has a gap");
            }
            match self.apply(change, ahead.epoch) {
                Applied::Yes => {}
                Applied::OtherEpoch => return LookEnd::More(0),
                Applied::Contradiction => {
                    return self.contradicted("the log holds a change that others saw differently");
                }
            }
        }
        if changes.last().map_or(cursor, |change| change.at) != look.at {
            return match changes.len() {
                0 => self.contradicted("the log does not reach the shard's clock"),
                count => LookEnd::More(count),
            };
        }
        let history = self.history.lock();
        if ahead.epoch != self.epoch() {
            return LookEnd::More(0);
        }
        self.freshness.looked_at(ahead.started);
        drop(history);
        LookEnd::Complete(changes.len())
    }

    /// Applies one change: the fence first, then the entry, then the cursor.
    fn apply(&self, change: &Change, epoch: u64) -> Applied {
        let (key, seq) = (&change.alias, change.at.seq);
        let place = self.cache.footprint_of(key);
        let mut stripe = self.stripes.lock(place);
        // Each time under the lock: a lane may have begun another epoch since the look ended.
        if epoch != self.epoch() {
            return Applied::OtherEpoch;
        }
        // A load that is out and read an earlier state must not enter after this.
        stripe.fence = stripe.fence.max(seq);
        if let Some(flight) = stripe.flights.get_mut(key) {
            flight.overtake();
        }
        if let Some(entry) = self.cache.get_key(place, key).filter(|entry| entry.as_of < seq) {
            if hooks::mutant("no_update") {
                // The entry stays as it was.
            } else if entry.epoch == epoch {
                let canonical = detached(change.new.as_ref());
                self.cache.put(place, key, Entry { canonical, as_of: seq, epoch });
            } else {
                self.cache.remove(place, key);
            }
        }
        drop(stripe);
        let mut history = self.history.lock();
        match epoch == self.epoch() {
            false => Applied::OtherEpoch,
            true if history.advance(change.at) => Applied::Yes,
            true => Applied::Contradiction,
        }
    }

    /// Sets the cursor for the first time in an epoch: nothing was kept before.
    fn start(&self, at: Position, ahead: &LookAhead) -> LookEnd {
        let beginning = self.beginning.lock();
        let mut history = self.history.lock();
        if ahead.epoch != self.epoch() {
            return LookEnd::More(0);
        }
        if !history.start(at) {
            drop((history, beginning));
            return self.contradicted("the shard's clock is not the one that was seen before");
        }
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.freshness.looked_at(ahead.started);
        drop(history);
        self.stripes.restart(at.seq);
        LookEnd::Complete(0)
    }

    /// Checks a position that a load or a write brought (rule 7).
    fn observe(&self, at: Position) -> Standing {
        let standing = self.history.lock().observe(at);
        if standing == Standing::Contradiction {
            self.contradicted("a load or a write saw another history");
        }
        standing
    }

    /// Another history than the one that was followed: all that is known of the shard is dropped.
    pub fn contradicted(&self, reason: &'static str) -> LookEnd {
        let beginning = self.beginning.lock();
        let mut history = self.history.lock();
        self.freshness.never();
        history.forget();
        // Connections first: nothing is sent in the new epoch over one that may lead to the old primary.
        self.contradictions.fetch_add(1, Ordering::AcqRel);
        self.epoch.fetch_add(1, Ordering::AcqRel);
        drop(history);
        self.stripes.restart(0);
        drop(beginning);
        tracing::warn!(reason, "a shard's history is not the one that was followed; starting anew");
        LookEnd::NewEpoch(reason)
    }

    /// Whether tokens and tests may count on `at` having been applied here.
    pub fn has_applied(&self, at: Position) -> bool {
        self.history.lock().standing(at) == Standing::Applied
    }
}

fn found(entry: Entry) -> Found {
    let source = if entry.canonical.is_some() { Source::Hit } else { Source::NegativeHit };
    Found { canonical: entry.canonical, source }
}
