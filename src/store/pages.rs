//! The arguments and results of scans and of pruning.

use aka_core::domain::Key;
use std::time::Duration;

/// Which lines of the change log to delete. The newest line always stays.
#[derive(Clone, Copy, Debug)]
pub struct Prune {
    /// The caller knows that no line before this seq is left. It spares the database a search
    /// through lines that were just deleted.
    pub from: u64,
    /// The last seq that may be deleted.
    pub through: u64,
    /// A line is deleted if it, or a later one of this step, is at least this old by the database's
    /// time.
    pub age: Duration,
    /// The most lines that one step looks at.
    pub limit: u32,
}

/// The result of one step of pruning.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pruned {
    /// How many lines it deleted.
    pub lines: u64,
    /// The first seq that may be left.
    pub next: u64,
}

/// A key as a scan finds it: with the slot that its row is stored under.
pub type FiledKey = (u16, Key);

/// A row as a scan finds it: with the slot that it is stored under. `aka check` compares that slot
/// with the one that the key belongs in.
#[derive(Clone, Debug)]
pub struct Stored<R> {
    pub filed_slot: u16,
    pub key: Key,
    pub row: R,
}
