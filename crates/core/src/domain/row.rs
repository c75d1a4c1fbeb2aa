//! The rows of a shard's tables (`docs/design.md`, section 3).

use super::{Id, Key, Position, Stamp};

/// Microseconds since 1970, by the clock of the shard's database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Micros(pub i64);

impl Micros {
    /// The time from `earlier` to `self`; 0 if `earlier` is later.
    pub fn since(self, earlier: Micros) -> std::time::Duration {
        std::time::Duration::from_micros(self.0.saturating_sub(earlier.0).max(0) as u64)
    }
}

/// The forward row of an alias: a row of the table `alias`, in the slot of `alias_id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardRow {
    /// The canonical id of the alias.
    pub canonical: Id,
    /// The seq of the alias's last change.
    pub version: u64,
    /// The stamp of the inverse row that pins `canonical` for this alias.
    pub stamp: Stamp,
    /// When the alias was created.
    pub created: Micros,
    /// When the alias was last changed.
    pub updated: Micros,
}

/// The inverse row of an alias: a row of the table `canonical`, in the slot of `canonical_id`.
///
/// If no forward row holds its stamp, its write is under way or has died. In the second case the
/// row is an orphan.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InverseRow {
    /// The canonical id that the row pins.
    pub canonical: Key,
    /// The alias that it is pinned for.
    pub alias: Id,
    /// The stamp of the write that inserted the row.
    pub stamp: Stamp,
    /// When the row was inserted.
    pub created: Micros,
}

impl InverseRow {
    /// Whether `forward`, the forward row of [`InverseRow::alias`], belongs to the same write.
    pub fn belongs_to(&self, forward: &ForwardRow) -> bool {
        forward.stamp == self.stamp && forward.canonical == *self.canonical.id()
    }
}

/// A line of a shard's change log: a row of the table `alias_change`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The position of the change.
    pub at: Position,
    /// The id whose alias changed.
    pub alias: Key,
    /// The canonical id before the change; `None` if the id was not an alias.
    pub old: Option<Id>,
    /// The canonical id after the change; `None` if the alias was deleted.
    pub new: Option<Id>,
    /// When the change was made.
    pub time: Micros,
}
