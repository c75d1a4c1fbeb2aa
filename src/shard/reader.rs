//! Readers: tasks that read forward rows for the admin service, many in one query.
//!
//! A reader is like a [lane](super::lane), with two differences. Nothing is remembered. And no
//! request joins a query that is out already: an admin is shown a row that was read after the
//! request.

use super::connection::{ShardConnection, ask};
use super::read_backlog::ReadFault;
use super::state::Shard;
use crate::store::{Role, StoreError};
use aka_core::domain::{Key, Loaded};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Requests that one query answers, at most.
const REQUESTS: usize = 128;

/// Keys of one query, at most. An optimizer that gets a very long list scans the table.
const KEYS: usize = 512;

/// Runs one reader until `stop` is cancelled.
pub(super) async fn run(shard: Arc<Shard>, stop: CancellationToken) {
    let mut connection = ShardConnection::new(shard.clone(), Role::Read);
    loop {
        let requests = tokio::select! {
            () = stop.cancelled() => return,
            requests = shard.read_backlog.0.wait(REQUESTS) => requests,
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
            error.bar().map_or(ReadFault::Unavailable, ReadFault::Barred)
        });
        for reply in replies {
            // It fails if the client has gone.
            let _ = reply.send(loaded.clone());
        }
    }
}

/// Reads rows, by several queries if there are too many keys for one. The position is that of the
/// last query. Rows of earlier queries seem newer than they are, so memory drops too much rather
/// than too little.
async fn load(connection: &mut ShardConnection, keys: &[Key]) -> Result<Loaded, StoreError> {
    connection.open().await?;
    let most = KEYS.min(connection.most_keys());
    let (first, rest) = keys.split_at(keys.len().min(most));
    let mut all = load_proven(connection, first).await?;
    for keys in rest.chunks(most) {
        let more = load_proven(connection, keys).await?;
        all.rows.extend(more.rows);
        (all.at, all.now) = (more.at, more.now);
    }
    Ok(all)
}

/// Reads rows of the primary. In a group it must have proved lately that it is the primary (rule
/// 10).
async fn load_proven(connection: &mut ShardConnection, keys: &[Key]) -> Result<Loaded, StoreError> {
    let loaded = ask!(&mut *connection, |session| session.load(keys))?;
    connection.heed(&loaded.claim, loaded.now);
    match connection.shard.is_proven(&loaded.claim, loaded.now) {
        true => Ok(loaded),
        false => Err(StoreError::no_primary(connection.shard.address())),
    }
}
