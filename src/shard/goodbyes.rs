//! Closes sessions in order, beside the tasks that used them.
//!
//! A session that is only dropped is closed some time later, if the process lives that long. MySQL
//! counts it as aborted, and SQLite's write-ahead log stays beside the file.

use crate::store::Session;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

/// The sessions of one shard that are being closed.
pub(super) struct Goodbyes {
    closing: TaskTracker,
    /// The runtime that closes them. It outlives those that serve clients, on which a session may
    /// be given up.
    runtime: Handle,
}

impl Goodbyes {
    /// Sessions will be closed on the current runtime.
    pub fn new() -> Self {
        Self { closing: TaskTracker::new(), runtime: Handle::current() }
    }

    /// Closes a session. The caller need not wait.
    pub fn close(&self, session: Box<dyn Session>) {
        self.closing.spawn_on(session.close(), &self.runtime);
    }

    /// Waits until every session that was given so far is closed. Each of them closes within a
    /// bounded time.
    pub async fn wait(&self) {
        self.closing.close();
        self.closing.wait().await;
    }
}
