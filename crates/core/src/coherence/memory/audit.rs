//! The auditor compares memory with the primary, key by key.
//!
//! Invariant: there is no false alarm, however many writes there are. The auditor takes three steps
//! for that: it reads the row and the position in one snapshot, waits until memory has
//! [caught up](Memory::caught_up), and lets it [judge](Memory::judge). `docs/design.md`, section 5,
//! says why they suffice.

use super::Memory;
use crate::coherence::footprint::Footprint;
use crate::coherence::law::{self, Standing};
use crate::domain::{Key, Position};
use bytes::Bytes;

/// What is remembered of a key.
#[derive(Clone, Debug)]
pub struct Recalled {
    /// The canonical id; `None` if the id is not an alias.
    pub canonical: Option<Bytes>,
    /// The seq at which it was read or changed.
    pub as_of: u64,
    /// The epoch that it belongs to.
    pub epoch: u64,
}

/// The result of a comparison.
#[derive(Debug)]
pub enum Verdict {
    /// Memory and the primary agree.
    Right,
    /// They differ. Memory has dropped its state of the key.
    Wrong {
        /// What was remembered.
        recalled: Recalled,
        /// Stands for the key in the service's log, which must not show ids.
        footprint: Footprint,
        /// The last position that was applied.
        cursor: Option<Position>,
    },
    /// Memory has nothing, or nothing more, that can be compared.
    Gone,
}

impl Memory {
    /// Whether anything is remembered, of any epoch. It does not count as a use of the entry.
    pub fn holds(&self, key: &Key) -> bool {
        let footprint = self.cache.footprint_of(key);
        self.is_surely_none(key.id_hash()) || self.cache.holds(footprint)
    }

    /// What is remembered in the present epoch: what the filter says, or an entry.
    pub fn recall(&self, key: &Key) -> Option<Recalled> {
        let footprint = self.cache.footprint_of(key);
        if self.is_surely_none(key.id_hash()) {
            let (as_of, epoch) = (self.cursor()?.seq, self.epoch());
            return Some(Recalled { canonical: None, as_of, epoch });
        }
        let entry = self.cache.get(footprint)?;
        let (as_of, epoch) = (entry.as_of, entry.epoch);
        (epoch == self.epoch()).then_some(Recalled { canonical: entry.canonical, as_of, epoch })
    }

    /// Whether the feed has applied a position that a load brought. `None` if that cannot be known:
    /// the position belongs to another history or is forgotten, or no cursor is set (rule 7).
    pub fn caught_up(&self, at: Position) -> Option<bool> {
        match self.observe(at) {
            Standing::Applied => Some(true),
            Standing::Ahead => Some(false),
            Standing::Unknown | Standing::Forgotten | Standing::Contradiction => None,
        }
    }

    /// Compares what is remembered of a key with the primary's row as of `at`. A wrong entry is
    /// dropped.
    pub fn judge(&self, key: &Key, at: Position, primary: Option<&[u8]>) -> Verdict {
        let footprint = self.cache.footprint_of(key);
        let _stripe = self.stripes.lock(footprint);
        // The epoch is read before the history, and compared after the entry is read. If it is the
        // same, all three belong to it.
        let epoch = self.epoch();
        let (standing, cursor) = {
            let history = self.history.lock();
            (history.standing(at), history.cursor())
        };
        // The filter holds every id that was an alias at any time up to the cursor. So its "surely
        // not an alias" can be compared with the row at any earlier position.
        let by_filter = self.is_surely_none(key.id_hash());
        let comparable = |it: &Recalled| {
            let as_of = if by_filter { 0 } else { it.as_of };
            it.epoch == epoch && law::must_be_equal(as_of, at.seq, standing)
        };
        let Some(recalled) = self.recall(key).filter(comparable) else { return Verdict::Gone };
        if recalled.canonical.as_deref() == primary {
            return Verdict::Right;
        }
        self.cache.remove(footprint);
        self.filters.add(key.id_hash());
        Verdict::Wrong { recalled, footprint, cursor }
    }
}
