//! The feed: polls a shard's change log, so that this instance's memory stays right.

use super::connection::{RECONNECT_PAUSE, ShardConnection, ask};
use super::state::Shard;
use crate::store::{Role, StoreError};
use aka_core::clock::Boottime;
use aka_core::coherence::PollEnd;
use aka_core::domain::{Identity, LogPage};
use std::sync::Arc;
use std::time::Instant;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Changes that one poll brings, at most.
const POLL_LIMIT: u32 = 2_000;

/// Polls again and again, until `stop` is cancelled.
pub(super) async fn run(shard: Arc<Shard>, stop: CancellationToken) {
    let mut connection = ShardConnection::new(shard.clone(), Role::Read);
    let mut ticks = interval(shard.settings.feed_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut known = None;
    let mut failing = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        match catch_up(&shard, &mut connection, &mut known).await {
            Ok(()) => failing = false,
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(shard = shard.id.0, %error, "cannot follow the shard's changes");
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = shard.primary.changed() => {}
                    () = tokio::time::sleep(RECONNECT_PAUSE) => {}
                }
            }
        }
    }
}

/// Polls until all changes are applied.
async fn catch_up(
    shard: &Shard,
    connection: &mut ShardConnection,
    known: &mut Option<Identity>,
) -> Result<(), StoreError> {
    loop {
        // Opened before the poll begins: freshness counts from the start of the poll.
        connection.open().await?;
        let begun = shard.memory.begin_poll(Boottime::now());
        // Without a cursor only the clock row is wanted: no change has this seq.
        let from = begun.cursor.map_or(i64::MAX as u64, |cursor| cursor.seq);
        let sent = Instant::now();
        let page = ask!(connection, |session| session.read_log(from, POLL_LIMIT))?;
        shard.metrics.polls.increment(1);
        if known.as_ref() != Some(&page.identity) {
            // The identity was read when the connection opened, and has changed since.
            let admitted = shard.directory.admit(shard.id, &page.identity, &shard.address());
            if let Err(error) = admitted {
                shard.memory.contradicted("the shard is another one now");
                return Err(error);
            }
            *known = Some(page.identity.clone());
        }
        connection.heed(&page.claim, page.now);
        match shard.memory.end_poll(&begun, &page) {
            PollEnd::Complete(changes) => {
                count_applied(shard, &page, changes, sent);
                return Ok(());
            }
            PollEnd::More(changes) => count_applied(shard, &page, changes, sent),
            // The next poll begins at the new cursor, or at another server.
            PollEnd::NewEpoch(_) | PollEnd::NotPrimary => return Ok(()),
        }
    }
}

/// Counts the last `count` changes of a page, which were applied, and has them audited.
///
/// The propagation time of a change is its age when the database answered, by the database's clock,
/// plus the time since the poll was sent, by this machine's clock. So no clock is compared with
/// another. The poll's way to the database is counted too, so the true time is a little shorter.
fn count_applied(shard: &Shard, page: &LogPage, count: usize, sent: Instant) {
    let changes = &page.changes[page.changes.len().saturating_sub(count)..];
    shard.metrics.changes.increment(changes.len() as u64);
    let since = sent.elapsed();
    for change in changes {
        let propagation = page.now.since(change.time) + since;
        shard.metrics.propagation_seconds.record(propagation.as_secs_f64());
    }
    shard.audit_changes(changes);
}
