//! Numbers that name a cluster, a shard, a point in a shard's history, and one write.

use std::fmt;

/// A random number that fits a signed 64-bit column.
pub fn random_u63() -> u64 {
    rand::random::<u64>() >> 1
}

/// Drawn when a cluster is first migrated; every shard of the cluster bears it.
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

/// A point in a shard's history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Position {
    /// The shard's counter of changes; commit order, no gaps.
    pub seq: u64,
    /// Random, drawn with each seq: two histories that reach the same seq differ in it.
    pub nonce: u64,
}

/// A random number that ties an inverse row to the forward row of the same write (the stamp rule).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stamp(pub u64);

impl Stamp {
    pub fn random() -> Self {
        Self(random_u63())
    }
}
