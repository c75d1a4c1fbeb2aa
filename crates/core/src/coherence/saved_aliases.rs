//! The aliases that were asked for lately, as bytes: the part of a snapshot that warms the cache of
//! the next process.
//!
//! An alias is saved as the footprint of its key, the length of its canonical id in a byte, and the
//! canonical id. Ids themselves are not kept in memory, so they are not saved.

use super::cache::Cache;
use super::footprint::Footprint;
use crate::domain::Position;
use std::collections::HashSet;

/// The bytes that a snapshot holds at most: those of more than a million aliases.
pub(super) const MOST_BYTES: usize = 64 << 20;

/// How many changes are remembered while the aliases are brought up to date. With more, the change
/// log is so long that they are worth little.
const MOST_CHANGES: usize = 1 << 20;

/// Aliases of a snapshot, with the changes since.
pub struct SavedAliases {
    bytes: Vec<u8>,
    /// How many of the bytes were taken.
    taken: usize,
    /// The keys that have changed since.
    changed: HashSet<Footprint>,
    /// The position that they are brought up to date to.
    pub(super) at: Position,
    /// The epoch in which that was done.
    pub(super) epoch: u64,
}

/// The aliases of the hot table that belong to this epoch, as of `seq`: those first that were asked
/// for since the last call. At most [`MOST_BYTES`].
pub(super) fn collect(cache: &Cache, epoch: u64, seq: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    cache.hot_aliases(epoch, seq, |footprint, canonical| {
        let Ok(length) = u8::try_from(canonical.len()) else { return true };
        if bytes.len() + 17 + canonical.len() > MOST_BYTES {
            return false;
        }
        bytes.extend(footprint.hash().to_le_bytes());
        bytes.extend(footprint.check().to_le_bytes());
        bytes.push(length);
        bytes.extend(canonical);
        true
    });
    bytes
}

impl SavedAliases {
    /// The aliases of a snapshot that was taken at `at`.
    pub(super) fn new(bytes: Vec<u8>, at: Position) -> Self {
        Self { bytes, taken: 0, changed: HashSet::new(), at, epoch: 0 }
    }

    /// The alias of this key has changed. It is not used.
    pub(super) fn forget(&mut self, footprint: Footprint) {
        self.changed.insert(footprint);
        if self.changed.len() > MOST_CHANGES {
            *self = Self::new(Vec::new(), self.at);
        }
    }

    /// The next alias that has not changed.
    pub(super) fn next(&mut self) -> Option<(Footprint, Vec<u8>)> {
        loop {
            let left = self.bytes.get(self.taken..)?;
            let (hash, left) = left.split_first_chunk()?;
            let (check, left) = left.split_first_chunk()?;
            let (&length, left) = left.split_first()?;
            let canonical = left.get(..usize::from(length))?.to_vec();
            self.taken += 17 + canonical.len();
            let footprint = Footprint::of(u64::from_le_bytes(*hash), u64::from_le_bytes(*check));
            if !self.changed.contains(&footprint) {
                return Some((footprint, canonical));
            }
        }
    }
}
