//! What the core asks of one shard's database, in the core's words.
//!
//! [`Store`] opens sessions; a [`Session`] is one connection, checked to lead to the right shard.
//! `sql` implements both over MySQL and SQLite; nothing above this module knows of either.

mod error;
mod identity;
pub mod migrate;
mod sql;
mod url;

pub use error::StoreError;
pub use identity::{Expected, SCHEMA_VERSION};
pub use sql::{MySqlStore, SqliteStore};
pub use url::{ShardUrl, ShardUrlFault};

use aka_core::domain::{
    ForwardRow, Id, Identity, InverseRow, Key, Loaded, LogPage, Micros, Position, Stamp,
};
use aka_core::write::{ChangeSet, Clock, ReadSet, Wanted};
use async_trait::async_trait;
use std::time::Duration;

/// One shard's database.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Opens a connection and reads whose it is. It does not check that this is the expected shard:
    /// see [`Expected::check`].
    async fn connect(&self, role: Role) -> Result<Box<dyn Session>, StoreError>;

    /// How many writers may take turns with the clock.
    fn writers(&self) -> usize;

    /// The address as people may see it: without a password.
    fn address(&self) -> String;
}

/// What a session is for; it decides the isolation level and how long it may hold a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Read,
    Write,
}

/// One connection to a shard. After an error that [closes](StoreError::closes_connection) it, and
/// after a call that was given up half-way, it must be dropped.
#[async_trait]
pub trait Session: Send {
    /// Who the shard said it was when the session was opened.
    fn identity(&self) -> &Identity;

    /// The forward rows of some keys and the shard's position, in one snapshot of the primary.
    async fn load(&mut self, keys: &[Key]) -> Result<Loaded, StoreError>;

    /// Inverse rows of one canonical id, by alias id and stamp, after `after`, at most `limit`.
    async fn inverse_rows(
        &mut self,
        canonical: &Key,
        after: Option<(&Id, Stamp)>,
        limit: u32,
    ) -> Result<Vec<InverseRow>, StoreError>;

    /// Every inverse row of some canonical ids.
    async fn pins_of(&mut self, canonicals: &[Key]) -> Result<Vec<InverseRow>, StoreError>;

    /// The changes from `cursor` on (that one included, at most `limit`), and the position and
    /// identity of the shard, in one snapshot.
    async fn read_log(&mut self, cursor: u64, limit: u32) -> Result<LogPage, StoreError>;

    /// Begins a write transaction and takes the shard's clock, which every writer takes first.
    /// Whoever holds it sees all that was committed before, and nobody else can write.
    async fn begin(&mut self) -> Result<Clock, StoreError>;

    /// In a write transaction: the rows that its operations need to see.
    async fn read_set(&mut self, wanted: &Wanted) -> Result<ReadSet, StoreError>;

    /// In a write transaction: writes the rows, without committing them.
    async fn write(&mut self, changes: &ChangeSet) -> Result<(), StoreError>;

    /// Commits. After an error nobody knows whether it happened.
    async fn commit(&mut self) -> Result<(), StoreError>;

    async fn rollback(&mut self) -> Result<(), StoreError>;

    /// Begins a transaction in which all reads see the shard as it is now, until
    /// [`rollback`](Session::rollback) ends it.
    async fn begin_snapshot(&mut self) -> Result<(), StoreError>;

    /// Asks to be the only one who prunes this shard's log, until the session is closed. True also
    /// where the database has no such lock: see [`Session::prune`].
    async fn claim_pruning(&mut self) -> Result<bool, StoreError>;

    /// Deletes the oldest lines of the change log, at most [`Prune::limit`], in a transaction of its
    /// own that does not take the clock. Several at once do no harm: each deletes from the oldest
    /// line on, and what is gone is not missed.
    async fn prune(&mut self, what: &Prune) -> Result<Pruned, StoreError>;

    /// Forward rows in key order, after `after`, at most `limit`.
    async fn scan_forward(
        &mut self,
        after: Option<&Stored<ForwardRow>>,
        limit: u32,
    ) -> Result<Vec<Stored<ForwardRow>>, StoreError>;

    /// The keys of aliases in the order in which they are filed, after `after`, at most `limit`, and the position that they
    /// are as of, in one snapshot.
    async fn scan_keys(
        &mut self,
        after: Option<&FiledKey>,
        limit: u32,
    ) -> Result<(Position, Vec<FiledKey>), StoreError>;

    /// How many of the first `limit` aliases, in the order in which they are filed, are in each slot.
    async fn count_first(&mut self, limit: u32) -> Result<Vec<(u16, u64)>, StoreError>;

    /// Inverse rows in key order, after `after`, at most `limit`, with the database's time.
    async fn scan_inverse(
        &mut self,
        after: Option<&Stored<InverseRow>>,
        limit: u32,
    ) -> Result<(Micros, Vec<Stored<InverseRow>>), StoreError>;
}

/// Which lines of the change log may go. Never the newest, whatever this says.
#[derive(Clone, Copy, Debug)]
pub struct Prune {
    /// There are none before this seq: it spares a search through what was deleted a moment ago.
    pub from: u64,
    /// No line after this seq.
    pub through: u64,
    /// Only lines of this age, by the database's time, and those before them.
    pub age: Duration,
    pub limit: u32,
}

/// What a step of pruning did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pruned {
    /// How many lines it deleted.
    pub lines: u64,
    /// The first seq that may be left.
    pub next: u64,
}

/// A key as a scan finds it: with the slot that it is filed under.
pub type FiledKey = (u16, Key);

/// A row as a scan finds it: with the slot that it is filed under, which `aka check` compares with
/// the slot that it belongs in.
#[derive(Clone, Debug)]
pub struct Stored<R> {
    pub filed_slot: u16,
    pub key: Key,
    pub row: R,
}
