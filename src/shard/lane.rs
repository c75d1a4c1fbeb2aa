//! Lanes: a few tasks that each own a connection and ask for many keys in one query.
//!
//! When a lane takes the keys that wait is said in [`lane_backlog`](super::lane_backlog).

use super::connection::{RECONNECT_PAUSE, ShardConnection, ask};
use super::state::Shard;
use crate::hooks;
use aka_core::clock::Boottime;
use aka_core::coherence::LookupFailure;
use aka_core::domain::{Key, Loaded};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// A lane that had nothing to do for so long tries its connection out. Lanes with high numbers are
/// idle until a peak comes (see [`lane_turns`](super::lane_turns)). A firewall or the database may
/// have dropped their connections by then, and the keys of the peak would wait until that is seen.
const IDLE: Duration = Duration::from_secs(30);

impl Shard {
    /// Gives keys that were [started](aka_core::coherence::Lookup::Started) to the lanes. Keys that
    /// find no room fail at once. If the shard is known to be down, all keys fail at once.
    pub fn enqueue(&self, mut keys: Vec<Key>) {
        if keys.is_empty() {
            return;
        }
        if self.health.is_down() {
            return self.memory.fail(&keys, self.failure());
        }
        let now = Boottime::now();
        if self.memory.is_stale(now) {
            let granted = self.stale_reads.take(keys.len(), now);
            self.memory.fail(&keys.split_off(granted), LookupFailure::Overloaded);
        }
        let refused = self.lane_backlog.push(keys);
        self.memory.fail(&refused, LookupFailure::Overloaded);
        if self.health.is_down() {
            // Checked again: the shard went down after the first check, and its lanes may have
            // emptied the backlog before these keys came. No lane would take them until the shard
            // is back.
            self.fail_backlog();
        }
    }

    fn fail_backlog(&self) {
        let waiting = self.lane_backlog.take_all();
        self.memory.fail(&waiting, self.failure());
    }
}

/// Runs the lane with this number until `stop` is cancelled.
pub(super) async fn run(shard: Arc<Shard>, lane: usize, stop: CancellationToken) {
    let mut connection = ShardConnection::of_lane(shard.clone());
    loop {
        let connected = tokio::select! {
            () = stop.cancelled() => return,
            opened = connection.open() => opened.map(drop),
        };
        if let Err(error) = connected {
            if shard.health.failed(&error) {
                shard.fail_backlog();
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = shard.primary.changed() => continue,
                () = tokio::time::sleep(RECONNECT_PAUSE) => continue,
            }
        }
        shard.health.connected();
        shard.metrics.up.set(1.0);
        serve(&shard, lane, &mut connection, &stop).await;
        shard.health.disconnected();
        if stop.is_cancelled() {
            return;
        }
    }
}

/// Asks for the clock row alone. If there is no answer, the connection is lost.
async fn try_out(shard: &Shard, connection: &mut ShardConnection) {
    if let Err(error) = ask!(connection, |session| session.load(&[])) {
        tracing::debug!(shard = shard.id.0, %error, "a lane has lost its connection");
    }
}

/// Reads what a load says of its server. One that stands in may think that it is the primary, but
/// has not proved it (rule 10).
fn heed(shard: &Shard, connection: &ShardConnection, loaded: &mut Loaded) {
    if connection.stands_in() {
        loaded.claim.takes_writes = false;
        shard.metrics.replica_reads.increment(1);
    }
    connection.heed(&loaded.claim, loaded.now);
}

/// Serves until the connection is lost.
async fn serve(
    shard: &Shard,
    lane: usize,
    connection: &mut ShardConnection,
    stop: &CancellationToken,
) {
    while connection.is_open() {
        let most = connection.most_keys().min(shard.settings.lane_batch);
        let (keys, query) = tokio::select! {
            () = stop.cancelled() => return,
            next = shard.lane_backlog.next(lane, most) => next,
            () = shard.health.doubted() => {
                try_out(shard, connection).await;
                continue;
            }
            () = tokio::time::sleep(IDLE) => {
                try_out(shard, connection).await;
                continue;
            }
        };
        let mut batch = shard.memory.send(keys, Boottime::now());
        if batch.keys.is_empty() {
            continue;
        }
        let sent = Instant::now();
        let answer = ask!(connection, |session| session.load(&batch.keys));
        query.end();
        shard.metrics.loads.increment(1);
        shard.metrics.load_keys.record(batch.keys.len() as f64);
        shard.metrics.load_seconds.record(sent.elapsed().as_secs_f64());
        hooks::hold("landing").await;
        match answer {
            Ok(mut loaded) => {
                heed(shard, connection, &mut loaded);
                let again = shard.memory.land(batch, &loaded, Boottime::now());
                shard.enqueue(again);
            }
            Err(error) => {
                shard.metrics.load_errors.increment(1);
                tracing::warn!(shard = shard.id.0, %error, "a lookup query failed");
                let keys = std::mem::take(&mut batch.keys);
                let failure = error.bar().map_or(LookupFailure::Unavailable, LookupFailure::Barred);
                shard.memory.fail(&keys, failure);
            }
        }
    }
}
