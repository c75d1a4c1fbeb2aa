//! The rows that a write transaction reads, and the rows that it writes.

use crate::domain::{Change, ForwardRow, InverseRow, Key, Micros, Position};
use std::collections::HashMap;

/// A shard's clock row, which the transaction has locked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    pub at: Position,
    pub now: Micros,
}

/// The rows that a write transaction must read.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Keys whose forward row is read, and whose distinct aliases are counted.
    pub keys: Vec<Key>,
    /// Keys whose inverse rows are all read too.
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
    pub forward: HashMap<Key, ForwardRow>,
    /// How many distinct aliases each canonical id has, orphans included.
    pub pin_counts: HashMap<Key, u64>,
    pub pins: HashMap<Key, Vec<InverseRow>>,
}

/// The rows that a write transaction writes.
#[derive(Clone, Debug, Default)]
pub struct ChangeSet {
    pub insert_forward: Vec<(Key, ForwardRow)>,
    pub replace_forward: Vec<(Key, ForwardRow)>,
    pub delete_forward: Vec<Key>,
    pub insert_inverse: Vec<InverseRow>,
    pub delete_inverse: Vec<InverseRow>,
    pub log: Vec<Change>,
    /// The shard's position after these changes.
    pub at: Position,
}

impl ChangeSet {
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
