//! The ends of a lookup: found, or failed.
//!
//! Invariant: "not an alias" and "could not find out" are different types (`docs/design.md`,
//! section 2).

use crate::domain::Bar;
use bytes::Bytes;

/// How a lookup was answered. It is also the label of `aka_lookups_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// By the filter: surely not an alias.
    Filtered,
    /// From memory: an alias.
    Hit,
    /// From memory: not an alias.
    NegativeHit,
    /// By a query that was made for this reader.
    Loaded,
    /// By a query that was made for an earlier reader of the same key.
    Coalesced,
    /// From memory, past the staleness limit, because the database did not answer.
    Degraded,
}

/// The answer to "is it an alias, and if so, of whom?".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The canonical id; `None` if the id is not an alias.
    pub canonical: Option<Bytes>,
    /// How the answer was found.
    pub outcome: Outcome,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupFailure {
    /// The shard did not answer, or not in time.
    Unavailable,
    /// The shard's database answered, and does not let aka read.
    Barred(Bar),
    /// Too many reads wait for the shard already.
    Overloaded,
    /// The reader's deadline passed.
    DeadlineExceeded,
    /// The primary is behind the reader's token: its clock has not reached the token's seq (rule
    /// 8).
    TokenAhead,
}
