//! The client.

use crate::admin::Admin;
use crate::dispatch;
use crate::error::{ConnectError, ResolveError};
use crate::lookup::{self, Lookup};
use crate::observer::Counts;
use crate::options::ClientOptions;
use crate::queue::BatchKey;
use crate::resolved::Resolved;
use crate::session::Session;
use crate::shared::Shared;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;

/// A client of one cluster. Clones share it, and its connections.
#[derive(Clone)]
pub struct Client(Arc<Owner>);

/// Closes the queue when the last clone has gone, so that the tasks end.
struct Owner(Arc<Shared>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.queue.close();
    }
}

impl Client {
    /// Makes a client. It must be called in a runtime of tokio, which runs the client's tasks. No
    /// server has to be there yet: connections are opened by the first calls.
    ///
    /// # Errors
    /// If an option makes no sense, or a file cannot be used.
    pub async fn connect(options: ClientOptions) -> Result<Self, ConnectError> {
        let shared = Arc::new(Shared::new(options).await?);
        tokio::spawn(dispatch::dispatch(shared.clone()));
        if shared.endpoints.has_names() {
            tokio::spawn(dispatch::look_up(Arc::downgrade(&shared)));
        }
        Ok(Self(Arc::new(Owner(shared))))
    }

    /// Finds out whether an id is an alias, and of whom. Await it, or say first how:
    /// [`Lookup::token`], [`Lookup::traceparent`], [`Lookup::or_unchanged`].
    pub fn resolve(&self, project: u64, id: impl Into<Bytes>) -> Lookup {
        Lookup::new(self.0.0.clone(), project, id.into())
    }

    /// The same for many ids, in order. It takes less CPU than as many calls. An empty token is none.
    pub async fn resolve_all(
        &self,
        project: u64,
        ids: Vec<Bytes>,
        token: &str,
    ) -> Vec<Result<Resolved, ResolveError>> {
        let token = (!token.is_empty()).then(|| token.into());
        lookup::many(&self.0.0, &BatchKey { project, token }, ids).await
    }

    /// Calls that create, change, show and delete aliases.
    pub fn admin(&self) -> Admin {
        Admin::new(self.0.0.clone())
    }

    /// Reads that see the writes before them, on any server.
    pub fn session(&self) -> Session {
        Session::new(self.0.0.clone())
    }

    /// Totals since the client was made.
    pub fn counts(&self) -> Counts {
        self.0.0.hooks.counts()
    }

    /// Takes no more ids, and waits until all that were taken have an answer or an error. That takes
    /// no longer than twice the `timeout`.
    pub async fn close(&self) {
        let shared = &self.0.0;
        shared.queue.close();
        let drained = tokio::time::timeout(2 * shared.options.timeout, shared.queue.drained());
        if drained.await.is_err() {
            shared.queue.abandon();
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.0.0.options).finish()
    }
}
