//! All that one instance remembers of one shard.

mod audit;
mod filters;
mod join;
mod land;
mod polls;
mod reading;
mod replay;
mod writes;

pub use audit::{Recalled, Verdict};
pub use filters::FilterScan;
pub use join::Lookup;
pub use land::Batch;
pub use polls::{PendingPoll, PollEnd};
pub use reading::Reading;
pub use replay::{FilterImage, FilterReplay, Replayed, SavedFilter};

use super::cache::Cache;
use super::filter::Filter;
use super::footprint::Footprint;
use super::freshness::Freshness;
use super::history::{History, Standing};
use super::law::{self, Held};
use super::stripe::Stripes;
use crate::clock::Boottime;
use crate::domain::{Position, ShardId, Token};
use crate::mutant::sabotage;
use crate::sync::{ArcSwapOption, AtomicU64, Mutex, Ordering};
use std::sync::Arc;
use std::time::Duration;

/// How old an answer may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Older answers are not given from memory. 0: no answer is.
    pub staleness: Duration,
    /// Older answers are given, marked as degraded, if the database does not answer. 0: never.
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
        let mut mark = token.and_then(|token| token.mark(shard));
        sabotage!(TokenIgnored => mark = None);
        Self { arrived, mark }
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

/// The history that was followed when a connection was about to be opened: see [`Memory::may_use`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Opened {
    contradictions: u64,
}

/// All that one instance remembers of one shard.
///
/// What each of its callers does is in a file of its own: readers in `reading` and `join`, the lanes in
/// `land`, the writer in `writes`, the feed in `polls`, the filter's task in `filters` and `replay`, the
/// auditor in `audit`.
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
    polls_begun: AtomicU64,
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
            polls_begun: AtomicU64::new(0),
            filter: ArcSwapOption::empty(),
            least_filter_keys: sizes.filter_keys,
            next_filter: ArcSwapOption::empty(),
        }
    }

    pub fn freshness(&self) -> &Freshness {
        &self.freshness
    }

    /// Whether memory may not answer at the moment, although it is there to answer (rule 6).
    pub fn is_stale(&self, now: Boottime) -> bool {
        !self.limits.staleness.is_zero()
            && !law::may_answer(self.freshness.age(now), self.limits.staleness)
    }

    /// The last position that was applied.
    pub fn cursor(&self) -> Option<Position> {
        self.history.lock().cursor()
    }

    /// Whether tokens and tests may count on `at` having been applied here.
    pub fn has_applied(&self, at: Position) -> bool {
        self.history.lock().standing(at) == Standing::Applied
    }

    /// How many histories were given up.
    pub fn contradictions(&self) -> u64 {
        self.contradictions.load(Ordering::Acquire)
    }

    /// A connection is about to be opened. To be called before, not after: a history that is given up
    /// while the connection opens counts against it.
    pub fn opening(&self) -> Opened {
        Opened { contradictions: self.contradictions() }
    }

    /// Whether a connection may be used (rule 7).
    pub fn may_use(&self, opened: Opened) -> bool {
        law::may_use_connection(opened.contradictions, self.contradictions())
    }

    fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// The entry of a key, as the rules judge it.
    fn held(&self, footprint: Footprint) -> Option<Held> {
        let epoch = self.epoch();
        let entry = self.cache.get(footprint)?;
        Some(Held { as_of: entry.as_of, same_epoch: entry.epoch == epoch })
    }
}
