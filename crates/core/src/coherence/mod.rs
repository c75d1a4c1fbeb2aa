//! When a remembered answer may be given (`docs/design.md`, section 5).
//!
//! [`Memory`] is all that one instance remembers of one shard. It knows no database and runs no
//! task: the lanes, the feed and the writer tell it what they saw, and readers ask it.
//!
//! The parts, in reading order:
//!
//! 1. `rules`: the rules that are decisions. All other files ask them, as `law`. In a build with
//!    `test-hooks`, `broken_rules` takes their place.
//! 2. What is kept: `entry`, what is remembered of a key; [`Footprint`], which stands for the key;
//!    `hot_table` and [`Cache`], the bounded store. The store decides nothing.
//! 3. Waiting: `answer`, what a lookup can end with; [`Gather`], what one reader waits for;
//!    `flight`, the one load of a key that all its readers wait for.
//! 4. What is known of a shard: `stripe`, the lock, the fence and the flights of some keys;
//!    `history`, the positions that were applied; [`Freshness`], when the log was last seen whole.
//! 5. The filter: [`Filter`], the set of all alias ids; `filter_pair`, the one that answers and the
//!    next one; `snapshot`, a filter on disk.
//! 6. `memory`: all of it together, with one file for each caller.

mod answer;
#[cfg(feature = "test-hooks")]
mod broken_rules;
mod cache;
mod entry;
mod filter;
mod filter_pair;
mod flight;
mod footprint;
mod freshness;
mod gather;
mod history;
mod hot_table;
mod memory;
mod rules;
mod snapshot;
mod stripe;

#[cfg(feature = "test-hooks")]
use broken_rules as law;
#[cfg(not(feature = "test-hooks"))]
use rules as law;

pub use answer::{Found, LookupFailure, Outcome};
pub use cache::Cache;
pub use filter::{Filter, FilterSource};
pub use footprint::Footprint;
pub use freshness::Freshness;
pub use gather::Gather;
pub use memory::{
    Batch, FilterReplay, FilterScan, Limits, Lookup, Memory, Need, Opened, PendingPoll, PollEnd,
    Reading, Recalled, Replayed, Sizes, Verdict,
};
pub use snapshot::{FilterImage, SavedFilter, SnapshotFault};
