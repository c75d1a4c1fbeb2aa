//! All that one instance remembers of one shard.

// Named, so that they are also found from `tests/interleavings`.
#[path = "memory/audit.rs"]
mod audit;
#[path = "memory/filters.rs"]
mod filters;
#[path = "memory/follow.rs"]
mod follow;
#[path = "memory/reading.rs"]
mod reading;
#[path = "memory/replay.rs"]
mod replay;

pub use audit::{Recalled, Verdict};
pub use filters::FilterScan;
pub use follow::{LookAhead, LookEnd};
pub use reading::Reading;
pub use replay::{FilterImage, FilterReplay, Replayed, SavedFilter};

use super::cache::{Cache, Entry, Footprint, detached};
use super::filter::Filter;
use super::flight::{Failure, Found, Gather, Source, Waiter};
use super::freshness::Freshness;
use super::history::{History, Standing};
use super::stripe::Stripes;
use crate::clock::Boottime;
use crate::domain::{Change, Key, Position, ShardId, Token};
use crate::hooks;
use crate::store::Loaded;
use crate::sync::{ArcSwapOption, AtomicU64, Mutex, Ordering};
use std::sync::Arc;
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

impl Need {
    /// What a reader with this token needs of this shard.
    pub fn new(arrived: Boottime, token: Option<&Token>, shard: ShardId) -> Self {
        let token = token.filter(|_| !hooks::mutant("token_ignored"));
        Self { arrived, mark: token.and_then(|token| token.mark(shard)) }
    }
}

/// How much a memory keeps beside the entries.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Stripes: enough that a change of one key hardly ever keeps out a load of another.
    pub stripes: usize,
    /// How many of the last applied positions are remembered, to check what comes in late.
    pub applied: usize,
    /// How many positions ahead of the cursor are remembered until the feed arrives there.
    pub ahead: usize,
    /// The least number of keys that a filter is made for.
    pub filter_keys: u64,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { stripes: 4096, applied: 1 << 16, ahead: 1 << 16, filter_keys: 1 << 16 }
    }
}

/// When a connection was about to be opened: see [`Memory::may_use`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Opened {
    contradictions: u64,
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
    /// The filter that answers, as soon as it may.
    filter: ArcSwapOption<Filter>,
    least_filter_keys: u64,
    /// The filter that is being filled to replace it.
    next_filter: ArcSwapOption<Filter>,
}

impl Memory {
    pub fn new(cache: Arc<Cache>, limits: Limits) -> Self {
        Self::with_sizes(cache, limits, Sizes::default())
    }

    /// A simulation makes everything small, so that everything collides often.
    pub fn with_sizes(cache: Arc<Cache>, limits: Limits, sizes: Sizes) -> Self {
        Self {
            cache,
            stripes: Stripes::new(sizes.stripes),
            history: Mutex::new(History::new(sizes.applied, sizes.ahead)),
            beginning: Mutex::default(),
            freshness: Freshness::default(),
            limits,
            epoch: AtomicU64::new(0),
            contradictions: AtomicU64::new(0),
            looks_begun: AtomicU64::new(0),
            filter: ArcSwapOption::empty(),
            least_filter_keys: sizes.filter_keys,
            next_filter: ArcSwapOption::empty(),
        }
    }

    pub fn freshness(&self) -> &Freshness {
        &self.freshness
    }

    /// The last position that was applied.
    pub fn cursor(&self) -> Option<Position> {
        self.history.lock().cursor()
    }

    /// Counts the histories that were given up.
    pub fn contradictions(&self) -> u64 {
        self.contradictions.load(Ordering::Acquire)
    }

    /// A connection is about to be opened. Noted before, not after: what is given up while it opens
    /// counts against it.
    pub fn opening(&self) -> Opened {
        Opened { contradictions: self.contradictions() }
    }

    /// Whether a connection may be used: one from before a change of history may lead to the old
    /// primary (rule 7).
    pub fn may_use(&self, opened: Opened) -> bool {
        opened.contradictions == self.contradictions() || hooks::mutant("connections_stay")
    }

    fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    // ---- readers

    /// Whether memory may not answer at the moment, although it is there to answer (rule 6).
    pub fn is_stale(&self, now: Boottime) -> bool {
        !self.limits.staleness.is_zero() && !self.freshness.is_within(self.limits.staleness, now)
    }

    /// The last known answer, where the database gives none (rule 6). Never for a token (rule 8).
    pub fn get_degraded(&self, key: &Key, need: &Need, now: Boottime) -> Option<Found> {
        if need.mark.is_some() && !hooks::mutant("degraded_for_token") {
            return None;
        }
        if !self.freshness.is_within(self.limits.degraded, now)
            && !hooks::mutant("degraded_for_ever")
        {
            return None;
        }
        if self.is_surely_none(key.id_hash()) {
            return Some(Found { canonical: None, source: Source::Degraded });
        }
        let entry = self.cache.get(self.cache.footprint_of(key))?;
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
        let found = self.get(key.id_hash(), || place, need);
        if let Some(found) = found.filter(|_| !hooks::mutant("joins_blindly")) {
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
            false => {
                let later = need.mark.is_some() && !hooks::mutant("token_joins");
                flight.earliest_round(later, oldest)
            }
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
        let epoch = if hooks::mutant("old_epoch_enters") { self.epoch() } else { epoch };
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
                    || (hooks::mutant("negatives_not_fenced") && canonical.is_none())
                    || (loaded.at.seq >= fence && !flight.was_overtaken()))
                && match standing {
                    Standing::Applied => true,
                    // Nobody has checked this history yet: it may be one that a look, begun since,
                    // has already left behind.
                    Standing::Ahead => {
                        looks == self.looks_begun.load(Ordering::Acquire)
                            || hooks::mutant("ahead_enters")
                    }
                    // Nothing is kept before the first cursor is set.
                    Standing::Unknown => hooks::mutant("start_keeps_epoch"),
                    _ => false,
                };
            if canonical.is_some() && !hooks::mutant("filter_misses_loads") {
                // It may be ahead of the feed: who has seen it must not be told "surely not".
                self.add_to_filters(key.id_hash());
            }
            // The entry before the answers: who has been answered may come again at once, and looks
            // into the cache without this lock. It must not find the older entry there.
            if current && hooks::mutant("answered_first") {
                flight.land(loaded.at.seq, canonical.as_ref());
            }
            if may_enter {
                let as_of = match hooks::mutant("as_of_greatest") {
                    true => self.history.lock().greatest(),
                    false => loaded.at.seq,
                };
                self.cache.put(place, Entry { canonical: canonical.clone(), as_of, epoch });
            } else if current
                && self.holds_older(place, loaded.at.seq)
                && !hooks::mutant("load_keeps_older")
            {
                self.cache.remove(place);
            }
            let landed = match current {
                true => flight.land(loaded.at.seq, canonical.as_ref()),
                false => flight.discard(),
            };
            if landed {
                stripe.flights.remove(&key);
            } else {
                again.push(key);
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

    /// A transaction of this instance was committed. `acknowledge` is called when memory knows of it:
    /// who is answered, and then reads here, sees it.
    pub fn committed(&self, log: &[Change], acknowledge: impl FnOnce()) {
        let mut acknowledge = Some(acknowledge);
        if hooks::mutant("acknowledged_first") {
            acknowledge.take().into_iter().for_each(|acknowledge| acknowledge());
        }
        for change in log.iter().filter(|_| !hooks::mutant("no_local_apply")) {
            self.wrote(&change.alias, change.at, change.new.is_some());
            if hooks::mutant("write_inserts") {
                let (place, epoch) = (self.cache.footprint_of(&change.alias), self.epoch());
                let (canonical, as_of) = (detached(change.new.as_ref()), change.at.seq);
                self.cache.put(place, Entry { canonical, as_of, epoch });
            }
        }
        acknowledge.take().into_iter().for_each(|acknowledge| acknowledge());
    }

    /// A write of this instance was committed, or a row of `key` was shown to an admin as of `at`
    /// (rule 5). Called before the acknowledgement: who reads after it finds no older answer.
    pub fn wrote(&self, key: &Key, at: Position, is_alias: bool) {
        let epoch = self.epoch();
        let standing = self.observe(at);
        let place = self.cache.footprint_of(key);
        if is_alias && !hooks::mutant("filter_misses_writes") {
            self.add_to_filters(key.id_hash());
        }
        let mut stripe = self.stripes.lock(place);
        if epoch != self.epoch() {
            // An epoch began after the commit: nothing older is left, every load of the new epoch
            // is sent after the commit, and the new history may not know this seq.
            return;
        }
        if !hooks::mutant("write_no_fence") {
            stripe.raise(key, at.seq);
        }
        // Seqs of two histories do not compare. An entry that was loaded ahead of the cursor may be of
        // an old primary that had a longer history: a write to the new primary, whose seq is lower,
        // comes after it all the same. Only where the feed has been, with the write and with the entry,
        // is it known which is newer.
        let unsure = (standing != Standing::Applied && !hooks::mutant("write_trusts_seq"))
            || (self.holds_ahead(place) && !hooks::mutant("write_trusts_entry"));
        let newer = unsure || self.holds_older(place, at.seq);
        if newer && !hooks::mutant("write_keeps_entry") {
            self.cache.remove(place);
        }
    }

    /// Whether there is an entry that is as of a seq which the feed has not applied yet.
    fn holds_ahead(&self, place: Footprint) -> bool {
        let cursor = self.cursor().map_or(0, |cursor| cursor.seq);
        self.cache.get(place).is_some_and(|entry| entry.as_of > cursor)
    }

    fn holds_older(&self, place: Footprint, seq: u64) -> bool {
        let epoch = self.epoch();
        let entry = self.cache.get(place);
        entry.is_some_and(|entry| entry.epoch != epoch || entry.as_of < seq)
    }

    /// Whether tokens and tests may count on `at` having been applied here.
    pub fn has_applied(&self, at: Position) -> bool {
        self.history.lock().standing(at) == Standing::Applied
    }
}
