//! What the auditor asks: is what is remembered of a key what the primary says?
//!
//! An entry says more than it looks: that nothing changed from its seq up to the cursor. So a row
//! that the primary had at a seq in between must be the entry's, and only then can the two be compared:
//!
//! 1. The auditor reads the row and the clock `at` in one snapshot.
//! 2. It waits until the feed has applied `at`, with this nonce. Before that the entry may be behind
//!    the row, as it is allowed to be.
//! 3. It looks at the entry, under the lock of its stripe. The feed updates an entry under this lock
//!    before it moves the cursor, so an entry whose seq is not above `at` has seen all changes up to
//!    `at`, and those up to the cursor did not touch it. One whose seq is above `at` was changed or
//!    read later: it says nothing about `at`. Each change is audited on its own.
//!
//! So no storm of writes makes a false alarm, and an entry that stays wrong is found whenever it is
//! asked about.

use super::{Memory, Standing};
use crate::coherence::footprint::Footprint;
use crate::domain::{Key, Position};
use bytes::Bytes;

/// What is remembered of a key.
#[derive(Clone, Debug)]
pub struct Recalled {
    pub canonical: Option<Bytes>,
    /// The seq that it was read or changed at.
    pub as_of: u64,
    pub epoch: u64,
}

/// What came of a comparison.
#[derive(Debug)]
pub enum Verdict {
    Right,
    /// It was dropped.
    Wrong {
        recalled: Recalled,
        /// Names the key in the log of this process, and to nobody else: it is keyed at random.
        footprint: Footprint,
        cursor: Option<Position>,
    },
    /// There is nothing, or nothing as old, to compare any more.
    Gone,
}

impl Memory {
    /// Whether anything is remembered, whatever it is worth. It does not count as a use of it.
    pub fn holds(&self, key: &Key) -> bool {
        let footprint = self.cache.footprint_of(key);
        self.is_surely_none(key.id_hash()) || self.cache.holds(footprint)
    }

    /// What is remembered in the current epoch, if anything is: the filter's word, or an entry.
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

    /// Whether the feed has applied a position that a load brought; `None` if that is of another
    /// history, or too long ago to say (rule 7).
    pub fn caught_up(&self, at: Position) -> Option<bool> {
        match self.observe(at) {
            Standing::Applied => Some(true),
            Standing::Ahead => Some(false),
            Standing::Unknown | Standing::Forgotten | Standing::Contradiction => None,
        }
    }

    /// Compares what is remembered of a key with what the primary said as of `at`, which the feed
    /// has applied. A wrong entry is dropped.
    pub fn judge(&self, key: &Key, at: Position, primary: Option<&[u8]>) -> Verdict {
        let footprint = self.cache.footprint_of(key);
        let _stripe = self.stripes.lock(footprint);
        // The epoch before the history and after the entry: if it is the same, all three are of one.
        let epoch = self.epoch();
        let (standing, cursor) = {
            let history = self.history.lock();
            (history.standing(at), history.cursor())
        };
        // The filter holds whatever was an alias at any time up to the cursor, so its word can be
        // compared with any row from before.
        let by_filter = self.is_surely_none(key.id_hash());
        let recalled = self.recall(key).filter(|it| it.epoch == epoch);
        let recalled = recalled.filter(|it| by_filter || it.as_of <= at.seq);
        match recalled {
            Some(recalled) if standing == Standing::Applied => {
                if recalled.canonical.as_deref() == primary {
                    return Verdict::Right;
                }
                self.cache.remove(footprint);
                self.add_to_filters(key.id_hash());
                Verdict::Wrong { recalled, footprint, cursor }
            }
            _ => Verdict::Gone,
        }
    }
}
