//! The numbers that name a cluster, a shard, a point in a shard's history, and one write.

use std::fmt;

/// A random number below 2^63, so that it fits a signed column.
pub fn random_u63() -> u64 {
    rand::random::<u64>() >> 1
}

/// A cluster's number. It is drawn when the first shard of the cluster is migrated, and every shard
/// stores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClusterId(pub u64);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A shard's place in the cluster, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub u16);

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A point in a shard's history (rule 7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Position {
    /// The shard's counter of changes. It counts in commit order and has no gaps.
    pub seq: u64,
    /// A random number that is drawn with each seq. Two histories that reach the same seq differ in
    /// it.
    pub nonce: u64,
}

/// A random number that ties an inverse row to the forward row of the same write (`docs/design.md`,
/// section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stamp(pub u64);

impl Stamp {
    /// A new stamp.
    pub fn random() -> Self {
        Self(random_u63())
    }
}
