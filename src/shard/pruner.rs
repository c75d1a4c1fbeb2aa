//! The pruner: deletes old lines of a shard's change log.
//!
//! Every instance runs one, and one of them prunes a shard at a time. A line may be deleted only if
//! both bounds allow it (`docs/design.md`, "The end of the change log"):
//!
//! - **Its age, by the database's time**: it is older than the retention, and than [`WINDOW`]. A
//!   feed that is alive has polled within seconds, so it is past such lines. A feed that was away
//!   for longer finds the log pruned past its cursor and begins a new epoch (rule 7).
//! - **What this instance had applied a [`WINDOW`] ago, by its own clock.** If the database's clock
//!   jumps ahead, every line looks old at once, also lines that feeds have yet to read. But a
//!   change that was applied here that long ago has been visible to every instance for that long.
//!   So an instance prunes nothing in its first minutes.
//!
//! The newest line is never deleted. No list of instances is needed.

use super::connection::{ShardConnection, in_time};
use super::state::Shard;
use crate::hooks;
use crate::store::{Prune, Role, StoreError};
use aka_core::clock::Boottime;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// How long ago a change must have been applied here before it may be pruned. A feed that was away
/// for longer may have to begin a new epoch.
const WINDOW: Duration = Duration::from_secs(600);

/// Rounds in a window.
const ROUNDS: u32 = 10;

/// Lines that one statement deletes, at most, and the pause until the next. A statement costs a
/// database a few milliseconds, and together they are faster than any shard is written.
const STEP: u32 = 1_000;
const PAUSE: Duration = Duration::from_millis(50);

/// Prunes without end.
pub(super) async fn run(shard: Arc<Shard>) {
    let retention = shard.settings.retention;
    if retention.is_zero() {
        return;
    }
    let window = hooks::shortened("AKA_PRUNE_WINDOW_MS", WINDOW);
    let mut applied = AppliedSeqs::default();
    loop {
        applied.note(&shard, Boottime::now());
        if let Some(through) = applied.before(window, Boottime::now()) {
            let age = retention.max(window);
            let what = Prune { from: 0, through, age, limit: STEP };
            if let Err(error) = round(&shard, what).await {
                tracing::warn!(shard = shard.id.0, %error, "cannot prune the shard's change log");
            }
        }
        tokio::time::sleep(window / ROUNDS).await;
    }
}

/// Deletes all lines that may be deleted, step by step. The lock is freed when the connection
/// closes.
async fn round(shard: &Arc<Shard>, mut what: Prune) -> Result<(), StoreError> {
    let limit = shard.settings.query_timeout;
    let mut connection = ShardConnection::new(shard.clone(), Role::Write);
    let session = connection.open().await?;
    if !in_time(limit, "the database", session.claim_pruning()).await? {
        return Ok(());
    }
    loop {
        // Not by `ask!`, because a new connection would not hold the lock.
        let pruned = in_time(limit, "the database", session.prune(&what)).await?;
        shard.metrics.log_pruned.increment(pruned.lines);
        if pruned.next == what.from {
            return Ok(());
        }
        what.from = pruned.next;
        tokio::time::sleep(PAUSE).await;
    }
}

/// Seqs that were applied here, each with the time.
#[derive(Default)]
struct AppliedSeqs {
    /// Oldest first.
    cursors: VecDeque<(Boottime, u64)>,
    /// The count of contradictions at the last note. Seqs of another history are worthless.
    history: u64,
}

impl AppliedSeqs {
    fn note(&mut self, shard: &Shard, now: Boottime) {
        let history = shard.memory.contradictions();
        if std::mem::replace(&mut self.history, history) != history {
            self.cursors.clear();
        }
        // The cursor is read after the count. If a new epoch begins in between, the next call sees
        // another count and drops this entry before it is used.
        if let Some(cursor) = shard.memory.cursor() {
            self.cursors.push_back((now, cursor.seq));
        }
    }

    /// The greatest seq that may be pruned: one less than the seq that was applied here a `window`
    /// ago. The slowest feed may still be at that seq, and compares its cursor with that line. On a
    /// shard without writes it is the newest line.
    fn before(&mut self, window: Duration, now: Boottime) -> Option<u64> {
        let old = |at: &(Boottime, u64)| now.since(at.0) >= window;
        while self.cursors.get(1).is_some_and(old) {
            self.cursors.pop_front();
        }
        self.cursors.front().filter(|at| old(at)).map(|at| at.1.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_applied_long_enough_ago() {
        let at = |seconds: u64| Boottime::from_nanos(seconds * 1_000_000_000);
        let mut applied = AppliedSeqs::default();
        let window = Duration::from_secs(10);
        assert_eq!(applied.before(window, at(100)), None);
        applied.cursors.extend([(at(100), 5), (at(101), 7), (at(105), 9)]);
        assert_eq!(applied.before(window, at(109)), None);
        assert_eq!(applied.before(window, at(110)), Some(4));
        assert_eq!(applied.before(window, at(112)), Some(6));
        assert_eq!(applied.before(window, at(1_000)), Some(8));
    }
}
