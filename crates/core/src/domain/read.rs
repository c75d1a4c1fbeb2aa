//! What one read of a shard brings: rows or lines of the log, and the position that they are as of
//! (rule 1).

use super::{Change, ForwardRow, Identity, Key, Micros, Position};
use std::collections::HashMap;

/// The answer to a load of some keys. All of it is one snapshot.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The shard's position in the snapshot.
    pub at: Position,
    /// The database's time.
    pub now: Micros,
    /// The forward rows. A key that is missing here is not an alias.
    pub rows: HashMap<Key, ForwardRow>,
}

/// A page of the change log. All of it is one snapshot.
#[derive(Clone, Debug)]
pub struct LogPage {
    /// What the shard says about itself.
    pub identity: Identity,
    /// The shard's position in the snapshot.
    pub at: Position,
    /// The database's time.
    pub now: Micros,
    /// Lines of the log, in seq order.
    pub changes: Vec<Change>,
}
