//! A few connections on which the admin service reads inverse rows.
//!
//! This is not sqlx's pool. If a query is given up half-way, its connection must be closed and its
//! permit given back; sqlx 0.9 loses the permit (measured). And sqlx pings at each checkout.

use super::connection::{ShardConnection, ask};
use super::state::Shard;
use crate::store::{Role, StoreError, Stored};
use aka_core::domain::{Id, InverseRow, Key, Micros, Stamp};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::{Semaphore, SemaphorePermit};

/// The connections to one shard.
pub struct ReadPool {
    shard: Arc<Shard>,
    idle: Mutex<Vec<ShardConnection>>,
    permits: Semaphore,
}

impl ReadPool {
    pub(super) fn new(shard: Arc<Shard>) -> Self {
        let permits = Semaphore::new(shard.settings.admin_connections);
        Self { shard, idle: Mutex::default(), permits }
    }

    pub fn shard(&self) -> &Shard {
        &self.shard
    }

    /// Inverse rows of one canonical id (see [`crate::store::Session::inverse_rows`]).
    ///
    /// # Errors
    /// If the shard does not answer.
    pub async fn inverse_rows(
        &self,
        canonical: &Key,
        after: Option<(&Id, Stamp)>,
        limit: u32,
    ) -> Result<Vec<InverseRow>, StoreError> {
        let mut lease = self.lease().await;
        let rows =
            ask!(lease.connection(), |session| session.inverse_rows(canonical, after, limit));
        lease.done();
        rows
    }

    /// A page of all inverse rows (see [`crate::store::Session::scan_inverse`]).
    ///
    /// # Errors
    /// If the shard does not answer.
    pub async fn scan_inverse(
        &self,
        after: Option<&Stored<InverseRow>>,
        limit: u32,
    ) -> Result<(Micros, Vec<Stored<InverseRow>>), StoreError> {
        let mut lease = self.lease().await;
        let rows = ask!(lease.connection(), |session| session.scan_inverse(after, limit));
        lease.done();
        rows
    }

    /// Closes the connections that nobody has borrowed.
    pub(super) fn close(&self) {
        self.idle.lock().clear();
    }

    /// Waits for a permit. The caller's deadline bounds the wait.
    async fn lease(&self) -> Lease<'_> {
        // The semaphore is never closed. If it were, one connection too many would do no harm.
        let permit = self.permits.acquire().await.ok();
        let idle = self.idle.lock().pop();
        let connection =
            idle.unwrap_or_else(|| ShardConnection::new(self.shard.clone(), Role::Read));
        Lease { pool: self, connection: Some(connection), busy: true, _permit: permit }
    }
}

/// A borrowed connection. If it is dropped before it is [`done`](Self::done), a query may still run
/// on it, so it is closed.
struct Lease<'a> {
    pool: &'a ReadPool,
    connection: Option<ShardConnection>,
    busy: bool,
    _permit: Option<SemaphorePermit<'a>>,
}

impl Lease<'_> {
    fn connection(&mut self) -> &mut ShardConnection {
        self.connection.as_mut().expect("a lease has its connection until it is dropped")
    }

    fn done(&mut self) {
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
