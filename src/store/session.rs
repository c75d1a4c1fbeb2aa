//! The interface to one shard's database, in the words of the core.

use super::Server;
use super::error::{CommitFailure, StoreError};
use super::pages::{AliasPage, Prune, Pruned, Stored};
use aka_core::domain::{ForwardRow, Id, Identity, InverseRow, Key, Loaded, LogPage, Micros, Stamp};
use aka_core::write::{Author, ChangeSet, Clock, ReadSet, Wanted};
use async_trait::async_trait;
use std::time::Duration;

/// The database of one shard.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The servers of the shard. Names are resolved anew, and a name with several addresses counts
    /// as several servers. At least one.
    async fn servers(&self) -> Vec<Server>;

    /// The only server of the shard. `None`: the shard is a group, so its servers have beats, by
    /// which one proves that it is the primary (rule 10). A shard becomes a group when
    /// [`servers`](Self::servers) finds several, and stays one.
    fn sole_server(&self) -> Option<Server>;

    /// Whether the shard is a group.
    fn is_group(&self) -> bool;

    /// Whether the server may turn into another one, or stop taking writes. A file does not.
    fn may_move(&self) -> bool;

    /// Opens a connection to a server and reads the identity of the shard behind it. It does not
    /// check that this is the expected shard: see [`Expected::check`](super::Expected::check).
    async fn connect(&self, server: &Server, role: Role) -> Result<Box<dyn Session>, StoreError>;

    /// Opens a connection to the server that takes writes. If there is only one server, it need not
    /// take writes. For commands; a running service keeps to one primary.
    async fn connect_to_primary(&self, role: Role) -> Result<Box<dyn Session>, StoreError> {
        let (mut refused, servers) = (None, self.servers().await);
        for server in &servers {
            let opened = self.connect(server, role).await;
            let checked = match opened {
                Ok(mut session) => {
                    in_time(server, session.load(&[])).await.map(|loaded| (session, loaded.claim))
                }
                Err(error) => Err(error),
            };
            match checked {
                Ok((session, claim)) if claim.takes_writes || servers.len() == 1 => {
                    return Ok(session);
                }
                Ok((session, _)) => {
                    session.close().await;
                    refused.get_or_insert(StoreError::no_primary(self.address()));
                }
                // A replica may even lack the tables, because it lags.
                Err(error) => refused = Some(error),
            }
        }
        Err(refused.unwrap_or_else(|| StoreError::no_primary(self.address())))
    }

    /// How many write transactions are worth starting at once. They take turns with the clock row.
    fn writers(&self) -> usize;

    /// How many writes share a transaction, at most.
    fn write_batch(&self) -> usize;

    /// The longest pause after logins that the database refused. Servers lock accounts, or block
    /// hosts, after too many of them.
    fn longest_login_pause(&self) -> Duration;

    /// How long a connection that is for writes may be idle. Its user must close it by then,
    /// because the database would abort it soon after. `None`: for ever.
    fn idle_limit(&self) -> Option<Duration>;

    /// Makes the database whole after all sessions of this process were closed.
    async fn finish(&self) -> Result<(), StoreError>;

    /// The address for logs and messages, without a password.
    fn address(&self) -> String;
}

/// How long a server may take to say whether it takes writes.
const PATIENCE: Duration = Duration::from_secs(5);

/// The answer of a server that is asked what it is.
pub(super) async fn in_time<T>(
    server: &Server,
    answer: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(StoreError::TimedOut {
            address: server.to_string(),
            limit_ms: PATIENCE.as_millis() as u64,
        }),
    }
}

/// The purpose of a session. It decides the isolation level, and how long the session may hold a
/// lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reads only.
    Read,
    /// Write transactions, and reads inside them.
    Write,
}

/// One connection to a shard.
///
/// It must be [closed](Session::close) at its end, after an error that
/// [closes](StoreError::closes_connection) it, and after a call whose future was dropped before it
/// finished.
#[async_trait]
pub trait Session: Send {
    /// The identity of the shard, as it was when the session was opened.
    fn identity(&self) -> &Identity;

    /// How many keys one [`load`](Session::load) may ask for, so that its statement is not longer
    /// than the server takes. At least 1.
    fn most_keys(&self) -> usize;

    /// Closes the connection in order, and waits for that. The wait is bounded. A session that is
    /// only dropped is closed later, and MySQL counts it as aborted.
    async fn close(self: Box<Self>);

    /// The forward rows of some keys and the shard's position, in one snapshot of the primary.
    async fn load(&mut self, keys: &[Key]) -> Result<Loaded, StoreError>;

    /// Inverse rows of one canonical id, ordered by alias id and stamp: those after `after`, at
    /// most `limit`.
    async fn inverse_rows(
        &mut self,
        canonical: &Key,
        after: Option<(&Id, Stamp)>,
        limit: u32,
    ) -> Result<Vec<InverseRow>, StoreError>;

    /// All inverse rows of some canonical ids.
    async fn pins_of(&mut self, canonicals: &[Key]) -> Result<Vec<InverseRow>, StoreError>;

    /// The changes from seq `cursor` on (that one included, at most `limit`), and the position and
    /// identity of the shard, in one snapshot.
    async fn read_log(&mut self, cursor: u64, limit: u32) -> Result<LogPage, StoreError>;

    /// Commits a beat, by which the server proves that it is the primary (rule 10), unless it has
    /// done so since `older_than` ago. Does nothing on a shard without beats.
    async fn beat(&mut self, older_than: Duration) -> Result<(), StoreError>;

    /// Begins a write transaction by locking the clock row. From then on it sees everything that
    /// was committed before, and no other transaction can write.
    async fn begin(&mut self) -> Result<Clock, StoreError>;

    /// In a write transaction: reads the rows that its steps need.
    async fn read_set(&mut self, wanted: &Wanted) -> Result<ReadSet, StoreError>;

    /// In a write transaction: writes the rows, without committing them. `authors`: for each line of
    /// the change log. Tables of older versions have no room for them.
    async fn write(
        &mut self,
        changes: &ChangeSet,
        authors: &[Option<&Author>],
    ) -> Result<(), StoreError>;

    /// Commits. After an error the outcome is unknown, unless it says that nothing was committed.
    async fn commit(&mut self) -> Result<(), CommitFailure>;

    /// Ends a transaction without writing anything.
    async fn rollback(&mut self) -> Result<(), StoreError>;

    /// Begins a transaction whose reads all see the shard as it is now.
    /// [`rollback`](Session::rollback) ends it.
    async fn begin_snapshot(&mut self) -> Result<(), StoreError>;

    /// Asks to be the only session that prunes this shard's log, until it is closed. True also
    /// where the database has no such lock: see [`Session::prune`].
    async fn claim_pruning(&mut self) -> Result<bool, StoreError>;

    /// Deletes the oldest lines of the change log, at most [`Prune::limit`], in a transaction of
    /// its own that does not lock the clock row. Several sessions may do it at once: each deletes
    /// from the oldest line on, and a line that is gone already is no error.
    async fn prune(&mut self, what: &Prune) -> Result<Pruned, StoreError>;

    /// Forward rows in the order of the table: those after `after`, at most `limit`.
    async fn scan_forward(
        &mut self,
        after: Option<&Stored<ForwardRow>>,
        limit: u32,
    ) -> Result<Vec<Stored<ForwardRow>>, StoreError>;

    /// Aliases and their canonical ids in the order of the table: those after `after`, at most
    /// `limit`.
    async fn scan_aliases(
        &mut self,
        after: Option<&Stored<Id>>,
        limit: u32,
    ) -> Result<AliasPage, StoreError>;

    /// Counts the first `limit` aliases in the order of the table, by slot.
    async fn count_first(&mut self, limit: u32) -> Result<Vec<(u16, u64)>, StoreError>;

    /// The database's time, and inverse rows in the order of the table: those after `after`, at
    /// most `limit`.
    async fn scan_inverse(
        &mut self,
        after: Option<&Stored<InverseRow>>,
        limit: u32,
    ) -> Result<(Micros, Vec<Stored<InverseRow>>), StoreError>;
}
