//! The feed: follows a shard's change log, so that what this instance remembers stays right.

use super::connection::RECONNECT_PAUSE;
use super::{Shard, ShardConnection, ask};
use crate::store::{Role, StoreError};
use aka_core::clock::Boottime;
use aka_core::coherence::PollEnd;
use aka_core::domain::{Identity, LogPage};
use std::sync::Arc;
use std::time::Instant;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Changes that one look brings, at most.
const LOOK_LIMIT: u32 = 2_000;

/// Looks again and again; it ends when `stop` is cancelled.
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
        match look(&shard, &mut connection, &mut known).await {
            Ok(()) => failing = false,
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(shard = shard.id.0, %error, "cannot follow the shard's changes");
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(RECONNECT_PAUSE) => {}
                }
            }
        }
    }
}

/// Looks until all changes are applied.
async fn look(
    shard: &Shard,
    connection: &mut ShardConnection,
    known: &mut Option<Identity>,
) -> Result<(), StoreError> {
    loop {
        // Opened before the look begins: the time that a connection takes to open is not counted
        // against what the look sees.
        connection.open().await?;
        let ahead = shard.memory.begin_poll(Boottime::now());
        // Without a cursor only the clock is wanted: no change has this seq.
        let from = ahead.cursor.map_or(i64::MAX as u64, |cursor| cursor.seq);
        let sent = Instant::now();
        let seen = ask!(connection, |session| session.read_log(from, LOOK_LIMIT))?;
        shard.metrics.polls.increment(1);
        if known.as_ref() != Some(&seen.identity) {
            // Whoever admitted the connection read the identity before: it has changed since.
            let admitted = shard.directory.admit(shard.id, &seen.identity, &shard.address());
            if let Err(error) = admitted {
                shard.memory.contradicted("the shard is another one now");
                return Err(error);
            }
            *known = Some(seen.identity.clone());
        }
        match shard.memory.end_poll(&ahead, &seen) {
            PollEnd::Complete(changes) => {
                applied(shard, &seen, changes, sent);
                return Ok(());
            }
            PollEnd::More(changes) => applied(shard, &seen, changes, sent),
            PollEnd::NewEpoch(_) => return Ok(()),
        }
    }
}

/// Counts the last changes of a look, which were applied, and has them audited.
///
/// How long each was on its way is measured without comparing two machines' clocks: how old it was
/// when the database answered, by the database's time, and how long ago that is, by this machine's. The
/// look's way to the database counts, too, so it is a little less in truth.
fn applied(shard: &Shard, seen: &LogPage, count: usize, sent: Instant) {
    let changes = &seen.changes[seen.changes.len().saturating_sub(count)..];
    shard.metrics.changes.increment(changes.len() as u64);
    let since = sent.elapsed();
    for change in changes {
        let propagation = seen.now.since(change.time) + since;
        shard.metrics.propagation_seconds.record(propagation.as_secs_f64());
    }
    shard.audit_changes(changes);
}
