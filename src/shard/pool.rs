//! A few connections for the reads of the admin service.
//!
//! Not sqlx's pool: a connection whose query was given up half-way must be closed and its place
//! given back (measured on sqlx 0.9: the place is lost), and no ping is wanted at each checkout.

use super::{Shard, ShardConnection};
use crate::store::Role;
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::{Semaphore, SemaphorePermit};

pub(super) struct Pool {
    idle: Mutex<Vec<ShardConnection>>,
    places: Semaphore,
}

impl Pool {
    pub fn new(places: usize) -> Self {
        Self { idle: Mutex::default(), places: Semaphore::new(places) }
    }

    /// Waits for a place. The caller's deadline bounds the wait.
    pub async fn lease<'a>(&'a self, shard: &Arc<Shard>) -> Lease<'a> {
        // The semaphore is never closed; without a permit the lease would only be one more.
        let permit = self.places.acquire().await.ok();
        let idle = self.idle.lock().pop();
        let connection = idle.unwrap_or_else(|| ShardConnection::new(shard.clone(), Role::Read));
        Lease { pool: self, connection: Some(connection), busy: true, _permit: permit }
    }
}

/// A connection, borrowed. If it is dropped before it is [`done`](Self::done), a query may be under
/// way on it: it is closed then.
pub(super) struct Lease<'a> {
    pool: &'a Pool,
    connection: Option<ShardConnection>,
    busy: bool,
    _permit: Option<SemaphorePermit<'a>>,
}

impl Lease<'_> {
    pub fn connection(&mut self) -> &mut ShardConnection {
        self.connection.as_mut().expect("a lease has its connection until it is dropped")
    }

    pub fn done(&mut self) {
        self.busy = false;
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            if self.busy {
                connection.close();
            }
            self.pool.idle.lock().push(connection);
        }
    }
}
