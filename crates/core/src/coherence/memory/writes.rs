//! The writer tells memory what it committed (rule 5).
//!
//! Invariant: memory knows of a write before the write is acknowledged.

use super::Memory;
use crate::coherence::law;
use crate::domain::{Change, Key, Position};
use crate::mutant::{in_order, sabotage, step};

impl Memory {
    /// Tells memory of a committed transaction of this instance, and then calls `acknowledge`. So a
    /// client that is answered and then reads here sees its write (P2). `log`: the lines that the
    /// transaction added to the change log.
    pub fn committed(&self, log: &[Change], acknowledge: impl FnOnce()) {
        in_order!(AcknowledgedFirst =>
            log.iter().for_each(|change| self.committed_one(change)),
            acknowledge()
        );
    }

    fn committed_one(&self, change: &Change) {
        if law::commit_went_back(self.history.lock().standing(change.at)) {
            self.contradicted("a commit of a moment ago is too old to be checked");
        }
        step!(NoLocalApply => self.note_local_write(&change.alias, change.at, change.new.is_some()));
        sabotage!(WriteInserts => self.cache.put(
            self.cache.footprint_of(&change.alias),
            crate::coherence::entry::Entry {
                canonical: crate::coherence::entry::detached(change.new.as_ref()),
                as_of: change.at.seq,
                epoch: self.epoch(),
            },
        ));
    }

    /// Tells memory of a local write of `key` at `at`: a committed write, or a row as of `at` that
    /// an admin is about to be shown. Call it before the client is answered. A later read gets no
    /// older answer.
    pub fn note_local_write(&self, key: &Key, at: Position, is_alias: bool) {
        let epoch = self.epoch();
        let standing = self.observe(at);
        let footprint = self.cache.footprint_of(key);
        if is_alias {
            step!(FilterMissesWrites => self.filters.add(key.id_hash()));
        }
        let mut stripe = self.stripes.lock(footprint);
        if epoch != self.epoch() {
            // A new epoch began after the commit. No older entry is left, and every load of the new
            // epoch is sent after the commit. The new history may not have this seq at all, so the
            // fence must not rise to it.
            return;
        }
        step!(WriteNoFence => stripe.raise(key, at.seq));
        let cursor = self.cursor().map_or(0, |cursor| cursor.seq);
        let held = self.held(footprint);
        if held.is_some_and(|held| law::write_must_drop(held, at.seq, standing, cursor)) {
            self.cache.remove(footprint);
        }
    }
}
