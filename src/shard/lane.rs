//! Lanes: a few tasks that each own a connection and ask for many keys in one query.
//!
//! There is no timer: a lane that is free takes what has queued up since. A lone miss goes out at
//! once, and under load the batches grow by themselves.

use super::connection::RECONNECT_PAUSE;
use super::{Shard, ShardConnection, ask};
use crate::hooks;
use crate::store::Role;
use aka_core::clock::Boottime;
use aka_core::coherence::LookupFailure;
use aka_core::domain::Key;
use std::sync::Arc;
use std::time::Instant;
use tokio_util::sync::CancellationToken;

pub(super) fn enqueue(shard: &Shard, mut keys: Vec<Key>) {
    if keys.is_empty() {
        return;
    }
    if shard.health.is_down() {
        return shard.memory.fail(&keys, LookupFailure::Unavailable);
    }
    let now = Boottime::now();
    if shard.memory.is_stale(now) {
        let granted = shard.stale_reads.take(keys.len(), now);
        shard.memory.fail(&keys.split_off(granted), LookupFailure::Overloaded);
    }
    let refused = shard.queue.push(keys);
    shard.memory.fail(&refused, LookupFailure::Overloaded);
    if shard.health.is_down() {
        // It went down between the look and the push, and its lanes may have emptied the queue
        // before: nobody would come for these keys until it is back.
        fail_waiting(shard);
    }
}

fn fail_waiting(shard: &Shard) {
    let waiting = shard.queue.take(usize::MAX);
    shard.memory.fail(&waiting, LookupFailure::Unavailable);
}

/// One lane; it ends when `stop` is cancelled.
pub(super) async fn run(shard: Arc<Shard>, stop: CancellationToken) {
    let mut connection = ShardConnection::new(shard.clone(), Role::Read);
    loop {
        let connected = tokio::select! {
            () = stop.cancelled() => return,
            opened = connection.open() => opened.map(drop),
        };
        if let Err(error) = connected {
            if shard.health.failed(&error) {
                fail_waiting(&shard);
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(RECONNECT_PAUSE) => continue,
            }
        }
        shard.health.connected();
        shard.metrics.up.set(1.0);
        serve(&shard, &mut connection, &stop).await;
        shard.health.disconnected();
        if stop.is_cancelled() {
            return;
        }
    }
}

/// Serves until the connection is lost.
async fn serve(shard: &Shard, connection: &mut ShardConnection, stop: &CancellationToken) {
    while connection.is_open() {
        let keys = tokio::select! {
            () = stop.cancelled() => return,
            keys = shard.queue.wait(shard.settings.lane_batch) => keys,
        };
        let mut batch = shard.memory.send(keys, Boottime::now());
        if batch.keys.is_empty() {
            continue;
        }
        let sent = Instant::now();
        let answer = ask!(connection, |session| session.load(&batch.keys));
        shard.metrics.loads.increment(1);
        shard.metrics.load_keys.record(batch.keys.len() as f64);
        shard.metrics.load_seconds.record(sent.elapsed().as_secs_f64());
        hooks::hold("landing").await;
        match answer {
            Ok(loaded) => {
                let again = shard.memory.land(batch, &loaded);
                enqueue(shard, again);
            }
            Err(error) => {
                shard.metrics.load_errors.increment(1);
                tracing::warn!(shard = shard.id.0, %error, "a lookup query failed");
                let keys = std::mem::take(&mut batch.keys);
                shard.memory.fail(&keys, LookupFailure::Unavailable);
            }
        }
    }
}
