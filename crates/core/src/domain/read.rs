//! What one read of a shard's database brings.

use super::{Change, ForwardRow, Identity, Key, Micros, Position};
use std::collections::HashMap;

/// What a load found.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// Everything below is as of this position.
    pub at: Position,
    pub now: Micros,
    /// A key that is missing here is no alias.
    pub rows: HashMap<Key, ForwardRow>,
}

/// What a look at the change log found.
#[derive(Clone, Debug)]
pub struct LogPage {
    pub identity: Identity,
    pub at: Position,
    pub now: Micros,
    /// In seq order.
    pub changes: Vec<Change>,
}
