//! Epochs: a new one begins when the shard turns out to have another history (rule 7).
//!
//! Invariant: an epoch begins under the history's lock, and the stripes are restarted after the
//! epoch has risen. So a caller that holds a stripe's lock sees the new epoch, or the stripe is
//! restarted after the caller is done.

use super::{EPOCH_STEP, Memory};
use crate::coherence::law::Standing;
use crate::domain::Position;
use crate::mutant::step;
use crate::sync::Ordering;

impl Memory {
    /// The standing of a position that a load, a page or a write brings. A contradiction begins a
    /// new epoch.
    pub(super) fn observe(&self, at: Position) -> Standing {
        let standing = self.history.lock().observe(at);
        if standing == Standing::Contradiction {
            self.contradicted("a load or a write saw another history");
        }
        standing
    }

    /// Begins a new epoch, because the shard's history is not the one that was followed. Drops all
    /// that is known of the shard. `reason` is logged.
    pub fn contradicted(&self, reason: &'static str) {
        let beginning = self.beginning.lock();
        let mut history = self.history.lock();
        self.freshness.never();
        history.forget();
        // Before the epoch rises, so that no query of the new epoch is sent over a connection that
        // may lead to the old primary.
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.contradictions.fetch_add(1, Ordering::AcqRel);
        self.next_epoch();
        drop(history);
        self.stripes.restart(0);
        drop(beginning);
        tracing::warn!(reason, "a shard's history is not the one that was followed; starting anew");
    }

    /// Makes the entries and the filters worthless. The history's lock is held.
    pub(super) fn next_epoch(&self) {
        step!(EpochKeepsEntries => self.epoch.fetch_add(EPOCH_STEP, Ordering::AcqRel));
        self.filters.drop_both();
    }
}
