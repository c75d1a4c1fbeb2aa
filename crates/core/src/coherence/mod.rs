//! When a remembered answer may be given (`docs/design.md`, section 5).
//!
//! [`Memory`] is all that one instance remembers of one shard. It knows no database and runs no
//! task: the lanes, the feed and the writer tell it what they saw, and readers ask it.
//!
//! The parts, in reading order:
//!
//! 1. The rules that are decisions: `rules`. All other files call them by the name `law`. In a
//!    build with `test-hooks`, `law` is `broken_rules`.
//! 2. Entries: `entry`, what is remembered of a key; [`Footprint`], a hash that stands for the key;
//!    `hot_table` and [`Cache`], the bounded store. The store decides nothing.
//! 3. Waiting: `answer`, the ends that a lookup can have; [`Gather`], the answers that one reader
//!    waits for; `flight`, the single load of a key that all its readers wait for.
//! 4. The state of a shard: `stripe`, the lock, the fence and the flights of some keys; `history`,
//!    the positions that were applied; [`Freshness`], the time of the last complete poll.
//! 5. The filter: [`Filter`], the set of all alias ids; `filter_pair`, the filter that answers and
//!    the next one; `snapshot`, a filter on disk.
//! 6. All of it together: `memory`, with one file for each caller.

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
mod saved_aliases;
mod snapshot;
mod stripe;

#[cfg(feature = "test-hooks")]
use broken_rules as law;
#[cfg(not(feature = "test-hooks"))]
use rules as law;

pub use answer::{Found, LookupFailure, Outcome};
pub use cache::{Cache, CacheKey};
pub use filter::{Filter, FilterSource};
pub use footprint::Footprint;
pub use freshness::Freshness;
pub use gather::Gather;
pub use law::{is_primary, may_lead, may_send_again, proof_age, wants_beat};
pub use memory::{
    Batch, FillSaved, FilterReplay, FilterScan, Limits, Lookup, Memory, Need, Opened, PendingPage,
    PendingPoll, PollEnd, Reading, Recalled, Replayed, Sizes, Verdict,
};
pub use saved_aliases::SavedAliases;
pub use snapshot::{FilterImage, SavedFilter, SnapshotFault};
