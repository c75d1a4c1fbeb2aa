//! The arguments and results of scans and of pruning.

use aka_core::domain::{Claim, Id, Key, Position};
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

/// A page of the table of aliases. All of it is one snapshot.
#[derive(Clone, Debug)]
pub struct AliasPage {
    /// The shard's position in the snapshot.
    pub at: Position,
    /// What the server that answered says of itself.
    pub claim: Claim,
    /// Each alias with its canonical id, in the order of the table.
    pub aliases: Vec<Stored<Id>>,
}

/// A row as a scan finds it: with the slot that it is stored under. `aka check` compares that slot
/// with the one that the key belongs in.
#[derive(Clone, Debug)]
pub struct Stored<R> {
    pub filed_slot: u16,
    pub key: Key,
    pub row: R,
}
