//! Reads of the admin service: fresh from the primary, and many in one query.
//!
//! Like a [lane](super::lane), but nothing is remembered, and nobody joins a query that is out
//! already: what an admin is shown was read after it was asked for.

use super::queue::Queue;
use super::{Shard, ShardConnection, ask};
use crate::store::{Role, StoreError};
use aka_core::domain::Key;
use aka_core::domain::Loaded;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Requests that one query answers, at most.
const REQUESTS: usize = 128;

/// Keys a query, at most: an optimizer gives up on very long lists, and scans the table.
const KEYS: usize = 512;

/// Why rows could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFault {
    /// Too many reads are waiting already.
    Overloaded,
    /// The shard did not answer.
    Unavailable,
}

type Reply = oneshot::Sender<Result<Arc<Loaded>, ReadFault>>;

/// The reads that wait for one shard.
pub(super) struct ReadQueue(Queue<(Vec<Key>, Reply)>);

impl ReadQueue {
    pub fn new(capacity: usize) -> Self {
        Self(Queue::new(capacity))
    }

    /// Reads rows together with whoever else asks now: the answer may hold more than was asked for.
    pub async fn load(&self, keys: Vec<Key>) -> Result<Arc<Loaded>, ReadFault> {
        let (reply, answer) = oneshot::channel();
        if !self.0.push(vec![(keys, reply)]).is_empty() {
            return Err(ReadFault::Overloaded);
        }
        answer.await.unwrap_or(Err(ReadFault::Unavailable))
    }
}

/// One reader; it ends when `stop` is cancelled.
pub(super) async fn run(shard: Arc<Shard>, stop: CancellationToken) {
    let mut connection = ShardConnection::new(shard.clone(), Role::Read);
    loop {
        let requests = tokio::select! {
            () = stop.cancelled() => return,
            requests = shard.reads.0.wait(REQUESTS) => requests,
        };
        let waiting = requests.into_iter().filter(|(_, reply)| !reply.is_closed());
        let (keys, replies): (Vec<_>, Vec<_>) = waiting.unzip();
        if replies.is_empty() {
            continue;
        }
        let mut keys = keys.concat();
        keys.sort_unstable();
        keys.dedup();
        let loaded = load(&mut connection, &keys).await.map(Arc::new).map_err(|error| {
            tracing::warn!(shard = shard.id.0, %error, "an admin read failed");
            ReadFault::Unavailable
        });
        for reply in replies {
            // Whoever has left does not need it.
            let _ = reply.send(loaded.clone());
        }
    }
}

/// In several queries where there are too many keys for one. The position is that of the last: rows
/// that were read before count as seen later, which errs on the side of dropping too much.
async fn load(connection: &mut ShardConnection, keys: &[Key]) -> Result<Loaded, StoreError> {
    let (first, rest) = keys.split_at(keys.len().min(KEYS));
    let mut all = ask!(&mut *connection, |session| session.load(first))?;
    for keys in rest.chunks(KEYS) {
        let more = ask!(&mut *connection, |session| session.load(keys))?;
        all.rows.extend(more.rows);
        (all.at, all.now) = (more.at, more.now);
    }
    Ok(all)
}
