//! What makes a remembered answer right (section 5 of the design).
//!
//! [`Memory`] is all that one instance remembers of one shard. It knows no database and runs no
//! task: the lanes, the feed and the writer tell it what they saw, under the rules below.
//!
//! - A [`Flight`](flight) is one load that many readers wait for.
//! - A [`Stripe`](stripe) holds the fence and the flights of a few keys; its lock is the per-key
//!   exclusion under which the cache is filled, updated and emptied.
//! - [`History`](history) knows where in the shard's history this instance is, and whether a
//!   position that somebody brings belongs to that history.
//! - The [`Filter`] is the set of all alias ids: what is not in it needs no entry and no load. As a
//!   [snapshot] it outlives the process.
//! - The [front](front) keeps what was asked for lately at hand.
//! - The [`Cache`] is a dumb store: bounded, and never asked whether an answer is right.

#[cfg(feature = "test-hooks")]
mod broken_rules;
mod cache;
mod entry;
mod filter;
#[cfg(test)]
mod filter_test;
mod flight;
mod footprint;
mod freshness;
mod history;
mod hot_table;
#[cfg(test)]
mod hot_table_test;
mod memory;
mod rules;
mod snapshot;
#[cfg(test)]
mod snapshot_test;
mod stripe;

/// The decisions of the rules, which a mutant may break.
#[cfg(feature = "test-hooks")]
use broken_rules as law;
#[cfg(not(feature = "test-hooks"))]
use rules as law;

pub use cache::Cache;
pub use filter::{Filter, FilterSource};
pub use flight::{Found, Gather, LookupFailure, Outcome};
pub use footprint::Footprint;
pub use freshness::Freshness;
pub use memory::{
    Batch, FilterImage, FilterReplay, FilterScan, Limits, Lookup, Memory, Need, Opened,
    PendingPoll, PollEnd, Reading, Recalled, Replayed, SavedFilter, Sizes, Verdict,
};
pub use snapshot::SnapshotFault;
