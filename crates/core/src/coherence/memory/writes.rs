//! Writes of this instance: memory hears of them before anybody is answered (rule 5).

use super::Memory;
use crate::coherence::entry::{Entry, detached};
use crate::coherence::law;
use crate::domain::{Change, Key, Position};
use crate::mutant::{in_order, sabotage, step};

impl Memory {
    /// A transaction of this instance was committed. `acknowledge` is called when memory knows of it: a
    /// client that is answered, and then reads here, sees the write.
    pub fn committed(&self, log: &[Change], acknowledge: impl FnOnce()) {
        in_order!(AcknowledgedFirst =>
            log.iter().for_each(|change| self.committed_one(change)),
            acknowledge()
        );
    }

    fn committed_one(&self, change: &Change) {
        step!(NoLocalApply => self.wrote(&change.alias, change.at, change.new.is_some()));
        sabotage!(WriteInserts => self.cache.put(
            self.cache.footprint_of(&change.alias),
            Entry {
                canonical: detached(change.new.as_ref()),
                as_of: change.at.seq,
                epoch: self.epoch(),
            },
        ));
    }

    /// A write of this instance was committed, or a row of `key` was shown to an admin as of `at`. To be
    /// called before the acknowledgement: who reads after it finds no older answer.
    pub fn wrote(&self, key: &Key, at: Position, is_alias: bool) {
        let epoch = self.epoch();
        let standing = self.observe(at);
        let footprint = self.cache.footprint_of(key);
        if is_alias {
            step!(FilterMissesWrites => self.add_to_filters(key.id_hash()));
        }
        let mut stripe = self.stripes.lock(footprint);
        if epoch != self.epoch() {
            // An epoch began after the commit: nothing older is left, every load of the new epoch
            // is sent after the commit, and the new history may not know this seq.
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
