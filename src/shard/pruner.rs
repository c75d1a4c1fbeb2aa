//! The pruner: deletes the lines of a shard's change log that nobody needs any more.
//!
//! Every instance runs one, and one of them prunes at a time. What may go is the lower of two
//! bounds, and the newest line stays:
//!
//! - **Age by the database's time**: lines older than the retention, and than [`WINDOW`] in any case.
//!   A follower that is alive has looked within seconds, so it is past them. One that was away for
//!   longer finds the log pruned past its cursor and starts anew (rule 7), which is right.
//! - **What this instance had applied a [`WINDOW`] ago, by its own clock.** Where the database's clock
//!   jumps ahead, every line looks old at once, also those that followers have still to read. But
//!   what was applied here that long ago was there for everybody that long, whatever the database's
//!   clock says. So an instance prunes nothing in its first minutes.
//!
//! No list of who follows, and where they are, is needed: it would be one more table to keep true.

use super::{Shard, ShardConnection, in_time};
use crate::hooks;
use crate::store::{Prune, Role, StoreError};
use aka_core::clock::Boottime;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Who has not looked at the log for this long may have to start anew.
const WINDOW: Duration = Duration::from_secs(600);

/// Rounds in a window.
const ROUNDS: u32 = 10;

/// Lines that one statement deletes, at most, and the pause until the next: a few milliseconds of a
/// database's work, and faster than any shard is written.
const STEP: u32 = 1_000;
const PAUSE: Duration = Duration::from_millis(50);

/// Prunes for ever.
pub(super) async fn run(shard: Arc<Shard>) {
    let retention = shard.settings.retention;
    if retention.is_zero() {
        return;
    }
    let window = hooks::shortened("AKA_PRUNE_WINDOW_MS", WINDOW);
    let mut applied = Applied::default();
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

/// Deletes all that may go, step by step, on a connection whose end gives the lock back.
async fn round(shard: &Arc<Shard>, mut what: Prune) -> Result<(), StoreError> {
    let limit = shard.settings.query_timeout;
    let mut connection = ShardConnection::new(shard.clone(), Role::Write);
    let session = connection.open().await?;
    if !in_time(limit, "the database", session.claim_pruning()).await? {
        return Ok(());
    }
    loop {
        // Not by `ask!`: a new connection would not have the lock.
        let pruned = in_time(limit, "the database", session.prune(&what)).await?;
        shard.metrics.log_pruned.increment(pruned.lines);
        if pruned.next == what.from {
            return Ok(());
        }
        what.from = pruned.next;
        tokio::time::sleep(PAUSE).await;
    }
}

/// What had been applied here, and when.
#[derive(Default)]
struct Applied {
    /// Oldest first.
    cursors: VecDeque<(Boottime, u64)>,
    /// The contradictions that the memory had seen: a seq of another history says nothing.
    history: u64,
}

impl Applied {
    fn note(&mut self, shard: &Shard, now: Boottime) {
        let history = shard.memory.contradictions();
        if std::mem::replace(&mut self.history, history) != history {
            self.cursors.clear();
        }
        // Read after the count: a history that began in between is noticed the next time, and no
        // cursor is used sooner than that.
        if let Some(cursor) = shard.memory.cursor() {
            self.cursors.push_back((now, cursor.seq));
        }
    }

    /// The last seq that nobody needs who follows, and is behind by less than this: what had been applied
    /// here this long ago is where the slowest of them may still be, and the line at its cursor is what it
    /// knows the history by. On a shard that is quiet for long that is the newest line, until the next write.
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
        let mut applied = Applied::default();
        let window = Duration::from_secs(10);
        assert_eq!(applied.before(window, at(100)), None);
        applied.cursors.extend([(at(100), 5), (at(101), 7), (at(105), 9)]);
        assert_eq!(applied.before(window, at(109)), None);
        assert_eq!(applied.before(window, at(110)), Some(4));
        assert_eq!(applied.before(window, at(112)), Some(6));
        assert_eq!(applied.before(window, at(1_000)), Some(8));
    }
}
