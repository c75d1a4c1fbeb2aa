//! The rows that a write transaction sees, and those that it writes.

use crate::domain::{Change, ForwardRow, InverseRow, Key, Micros, Position};
use std::collections::HashMap;

/// A shard's clock, held.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    pub at: Position,
    pub now: Micros,
}

/// The rows that a write transaction must see.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Of these the forward row, and the number of distinct aliases that they have.
    pub keys: Vec<Key>,
    /// Of these every inverse row, too.
    pub pins: Vec<Key>,
}

impl Wanted {
    /// Drops what is wanted twice.
    pub fn settle(&mut self) {
        for keys in [&mut self.keys, &mut self.pins] {
            keys.sort_unstable();
            keys.dedup();
        }
    }
}

/// The rows that a write transaction saw. What is missing is not there.
#[derive(Clone, Debug, Default)]
pub struct ReadSet {
    pub forward: HashMap<Key, ForwardRow>,
    /// How many distinct aliases each canonical id has, orphans among them.
    pub pin_counts: HashMap<Key, u64>,
    pub pins: HashMap<Key, Vec<InverseRow>>,
}

/// What a write transaction writes.
#[derive(Clone, Debug, Default)]
pub struct ChangeSet {
    pub insert_forward: Vec<(Key, ForwardRow)>,
    pub replace_forward: Vec<(Key, ForwardRow)>,
    pub delete_forward: Vec<Key>,
    pub insert_inverse: Vec<InverseRow>,
    pub delete_inverse: Vec<InverseRow>,
    pub log: Vec<Change>,
    /// The clock after all of it.
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
