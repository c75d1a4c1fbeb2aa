//! Memory: all that one instance remembers of one shard.
//!
//! Each of its callers has a file of its own: readers `reading` and `join`, the lanes `land`, the
//! writer `writes`, the feed `polls`, the filter's task `filters`, `fill` and `replay`, the
//! auditor `audit`. All of them may find a contradiction, which `epochs` deals with.
//!
//! Invariant, the order of locks: `beginning`, then a stripe, then the history. No other lock of a
//! memory is taken while the history is held, and no second stripe while one is held.

mod audit;
mod epochs;
mod fill;
mod filters;
mod join;
mod land;
mod polls;
mod reading;
mod replay;
mod writes;

pub use audit::{Recalled, Verdict};
pub use fill::{FillSaved, PendingPage};
pub use filters::FilterScan;
pub use join::Lookup;
pub use land::Batch;
pub use polls::{PendingPoll, PollEnd};
pub use reading::Reading;
pub use replay::{FilterReplay, Replayed};

use super::cache::Cache;
use super::filter_pair::FilterPair;
use super::footprint::Footprint;
use super::freshness::Freshness;
use super::history::History;
use super::law::{self, Held, Standing};
use super::stripe::Stripes;
use crate::clock::Boottime;
use crate::domain::{Position, ShardId, Token};
use crate::sync::{AtomicU64, Mutex, Ordering};
use std::sync::Arc;
use std::time::Duration;

/// How old an answer may be (rule 6).
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The staleness limit. Memory gives no older answer, except degraded ones. With 0 it gives
    /// none.
    pub staleness: Duration,
    /// The degraded limit. If the database does not answer, memory gives answers that are younger
    /// than this, marked as degraded. With 0 it gives none.
    pub degraded: Duration,
}

/// What a reader needs of an answer.
#[derive(Clone, Copy, Debug)]
pub struct Need {
    /// When the request arrived.
    pub arrived: Boottime,
    /// The position that the request's token names on this shard; `None` without one (rule 8).
    pub mark: Option<Position>,
}

impl Need {
    /// The need of a reader with this token, on this shard.
    #[inline]
    pub fn new(arrived: Boottime, token: Option<&Token>, shard: ShardId) -> Self {
        Self { arrived, mark: law::needed_position(token, shard) }
    }
}

/// The sizes of a memory's parts other than the cache.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// How many stripes there are. With many, a change of one key seldom keeps out a load of
    /// another key.
    pub stripes: usize,
    /// How many of the last applied positions are remembered. Positions that arrive late are
    /// compared with them.
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

/// The low bits of an epoch are the number of its memory in the cache, so that an entry shows which
/// memory it belongs to. The rest counts.
const EPOCH_STEP: u64 = 1 << 16;

/// When a connection was opened. See [`Memory::may_use`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Opened {
    generation: u64,
}

/// All that one instance remembers of one shard.
pub struct Memory {
    cache: Arc<Cache>,
    stripes: Stripes,
    history: Mutex<History>,
    freshness: Freshness,
    limits: Limits,
    /// Held while an epoch begins, so that two never begin at once.
    beginning: Mutex<()>,
    /// Rises with each new epoch, under the history's lock. The epochs of no two memories of a
    /// cache are the same: see [`EPOCH_STEP`].
    epoch: AtomicU64,
    contradictions: AtomicU64,
    /// Rises with each contradiction, and when the primary changes. Connections that were opened
    /// before may lead to an old primary.
    generation: AtomicU64,
    polls_begun: AtomicU64,
    filters: FilterPair,
    least_filter_keys: u64,
}

impl Memory {
    /// An empty memory of one shard. The cache may be shared with those of other shards.
    pub fn new(cache: Arc<Cache>, limits: Limits) -> Self {
        Self::with_sizes(cache, limits, Sizes::default())
    }

    /// The same with other sizes. The simulation uses small ones, so that everything collides
    /// often.
    pub fn with_sizes(cache: Arc<Cache>, limits: Limits, sizes: Sizes) -> Self {
        let epoch = AtomicU64::new(cache.memory_number() % EPOCH_STEP);
        Self {
            cache,
            stripes: Stripes::new(sizes.stripes),
            history: Mutex::new(History::new(sizes.applied, sizes.ahead)),
            beginning: Mutex::default(),
            freshness: Freshness::default(),
            limits,
            epoch,
            contradictions: AtomicU64::new(0),
            generation: AtomicU64::new(0),
            polls_begun: AtomicU64::new(0),
            filters: FilterPair::new(),
            least_filter_keys: sizes.filter_keys,
        }
    }

    /// When the last complete poll of the shard started.
    pub fn freshness(&self) -> &Freshness {
        &self.freshness
    }

    /// Whether memory is too old to answer at `now` (rule 6). Always false with a staleness limit
    /// of 0, with which memory never answers.
    pub fn is_stale(&self, now: Boottime) -> bool {
        !self.limits.staleness.is_zero()
            && !law::may_answer(self.freshness.age(now), self.limits.staleness)
    }

    /// The last position that was applied.
    pub fn cursor(&self) -> Option<Position> {
        self.history.lock().cursor()
    }

    /// Whether this position was applied here, with this nonce.
    pub fn has_applied(&self, at: Position) -> bool {
        self.history.lock().standing(at) == Standing::Applied
    }

    /// How many contradictions there have been.
    pub fn contradictions(&self) -> u64 {
        self.contradictions.load(Ordering::Acquire)
    }

    /// Call it before a connection is opened. A contradiction or a change of the primary while it
    /// opens makes the connection unusable.
    pub fn opening(&self) -> Opened {
        Opened { generation: self.generation.load(Ordering::Acquire) }
    }

    /// The limits that it was made with.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Whether a connection may be used (rules 7 and 10).
    pub fn may_use(&self, opened: Opened) -> bool {
        law::may_use_connection(opened.generation, self.generation.load(Ordering::Acquire))
    }

    /// Makes all open connections unusable: the primary is another server now, or is not known
    /// (rule 10). What is remembered stays, because the nonces say whether the history goes on
    /// (rule 7).
    pub fn leave_connections(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    #[inline]
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
