//! Removing inverse rows that are not needed any more (`docs/design.md`, the stamp rule).

use super::handle::{Admin, LastStart};
use aka_core::domain::InverseRow;
use aka_core::write::{Effect, WriteStep};
use std::time::Duration;

/// How long an answer waits for the removal.
const CLEAN_UP: Duration = Duration::from_millis(250);

impl Admin {
    /// Removes an inverse row. Returns false if its shard cannot be reached. The row then stays as
    /// an orphan until the sweeper removes it.
    pub(super) async fn unpin(&self, row: InverseRow) -> bool {
        let key = row.canonical.clone();
        let last_start = LastStart::from_now();
        let done = self.write(&key, vec![WriteStep::Unpin(row)], last_start).await;
        if let Err(refusal) = &done {
            tracing::debug!(%refusal, "an inverse row is left to the sweeper");
        }
        done.is_ok()
    }

    /// [`unpin`](Self::unpin) in a task of its own, with a short wait for it. A write that
    /// succeeded must not fail, or hang, because the shard of the old canonical id is sick (P8).
    pub(super) async fn unpin_in_background(&self, row: InverseRow) {
        let admin = self.clone();
        let done = self.cluster.run_to_completion(async move { admin.unpin(row).await });
        let _ = tokio::time::timeout(CLEAN_UP, done).await;
    }

    /// Removes the inverse rows that a job has left on another shard.
    pub(super) async fn unpin_old(&self, effects: &[Effect]) {
        for effect in effects {
            if let Effect::Linked { old_pin: Some(pin), .. }
            | Effect::Unlinked { old_pin: Some(pin) } = effect
            {
                self.unpin_in_background(pin.clone()).await;
            }
        }
    }
}
