//! The answers of a shard to one read: rows or lines of the log, with the position that they were
//! read at (rule 1).

use super::{Change, Claim, ForwardRow, Identity, Key, Micros, Position};
use std::collections::HashMap;

/// The answer to a load of some keys. All of it is one snapshot.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The shard's position in the snapshot.
    pub at: Position,
    /// The database's time.
    pub now: Micros,
    /// What the server that answered says of itself.
    pub claim: Claim,
    /// The forward rows that exist. A key that is missing here is not an alias.
    pub rows: HashMap<Key, ForwardRow>,
}

/// A page of the change log. All of it is one snapshot.
#[derive(Clone, Debug)]
pub struct LogPage {
    /// The identity of the shard.
    pub identity: Identity,
    /// The shard's position in the snapshot.
    pub at: Position,
    /// The database's time.
    pub now: Micros,
    /// What the server that answered says of itself.
    pub claim: Claim,
    /// Lines of the log, in seq order.
    pub changes: Vec<Change>,
}
