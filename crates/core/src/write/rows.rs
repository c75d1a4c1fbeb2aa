//! The rows that a write transaction reads, and the rows that it writes.

use crate::domain::{Change, Claim, ForwardRow, InverseRow, Key, Micros, Position};
use std::collections::HashMap;

/// A shard's clock row, which the transaction has locked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    /// The shard's position before the transaction.
    pub at: Position,
    /// The time, by the shard's database.
    pub now: Micros,
    /// What the server says of itself.
    pub claim: Claim,
}

/// The rows that a write transaction must read.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Keys whose forward row is read, and whose distinct aliases are counted.
    pub keys: Vec<Key>,
    /// Keys of which all inverse rows are read too.
    pub pins: Vec<Key>,
}

impl Wanted {
    /// Sorts, and drops duplicates.
    pub fn settle(&mut self) {
        for keys in [&mut self.keys, &mut self.pins] {
            keys.sort_unstable();
            keys.dedup();
        }
    }
}

/// The rows that a write transaction read. A row that is missing does not exist.
#[derive(Clone, Debug, Default)]
pub struct ReadSet {
    /// The forward rows of [`Wanted::keys`].
    pub forward: HashMap<Key, ForwardRow>,
    /// How many distinct aliases each of [`Wanted::keys`] has, orphans included.
    pub pin_counts: HashMap<Key, u64>,
    /// The inverse rows of [`Wanted::pins`].
    pub pins: HashMap<Key, Vec<InverseRow>>,
}

/// The rows that a write transaction writes.
#[derive(Clone, Debug, Default)]
pub struct ChangeSet {
    /// New forward rows, by the key of the alias.
    pub insert_forward: Vec<(Key, ForwardRow)>,
    /// Forward rows that replace the one that is there.
    pub replace_forward: Vec<(Key, ForwardRow)>,
    /// Aliases whose forward row is removed.
    pub delete_forward: Vec<Key>,
    /// New inverse rows.
    pub insert_inverse: Vec<InverseRow>,
    /// Inverse rows to remove. Some may be gone already.
    pub delete_inverse: Vec<InverseRow>,
    /// New lines of the change log, in seq order.
    pub log: Vec<Change>,
    /// For each of these lines the index of the job that it is of.
    pub jobs: Vec<usize>,
    /// The shard's position after these changes.
    pub at: Position,
}

impl ChangeSet {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        let Self { insert_forward, replace_forward, delete_forward, .. } = self;
        insert_forward.is_empty()
            && replace_forward.is_empty()
            && delete_forward.is_empty()
            && self.insert_inverse.is_empty()
            && self.delete_inverse.is_empty()
            && self.log.is_empty()
    }
}
