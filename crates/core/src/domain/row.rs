//! Rows as the shards hold them, in the words of the core.

use super::{Id, Key, Position, Stamp};

/// Microseconds since 1970, by the clock of the shard's database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Micros(pub i64);

impl Micros {
    /// How long before `self` that `earlier` was; 0 if it was later.
    pub fn since(self, earlier: Micros) -> std::time::Duration {
        std::time::Duration::from_micros(self.0.saturating_sub(earlier.0).max(0) as u64)
    }
}

/// What is stored of an alias, in the slot of its `alias_id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardRow {
    pub canonical: Id,
    /// The seq of the last change.
    pub version: u64,
    /// The stamp of the inverse row that pins `canonical` for this alias.
    pub stamp: Stamp,
    pub created: Micros,
    pub updated: Micros,
}

/// The inverse of an alias, in the slot of its `canonical_id`. Where no forward row bears its stamp
/// it is an orphan: a write under way, or one that died.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InverseRow {
    pub canonical: Key,
    pub alias: Id,
    pub stamp: Stamp,
    pub created: Micros,
}

impl InverseRow {
    /// Whether `forward`, the forward row of [`InverseRow::alias`], is the other half of this row.
    pub fn is_pinned_by(&self, forward: &ForwardRow) -> bool {
        forward.stamp == self.stamp && forward.canonical == *self.canonical.id()
    }
}

/// A line of a shard's change log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub at: Position,
    pub alias: Key,
    /// Of whom it was an alias before; `None`: it was none.
    pub old: Option<Id>,
    /// Of whom it is an alias now; `None`: of nobody.
    pub new: Option<Id>,
    pub time: Micros,
}
