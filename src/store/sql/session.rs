//! A [`Session`] over any [`Backend`]. It sorts the errors; the statements are in the sibling
//! modules.

use super::backend::{Backend, classify, close};
use super::claim::ClaimColumns;
use super::query::Query;
use super::{meta, prune, reads, scans, writes};
use crate::store::identity::AUTHORS_SCHEMA;
use crate::store::{AliasPage, CommitFailure, Prune, Pruned, Session, StoreError, Stored};
use aka_core::domain::{ForwardRow, Id, Identity, InverseRow, Key, Loaded, LogPage, Micros, Stamp};
use aka_core::write::{Author, ChangeSet, Clock, ReadSet, Wanted};
use async_trait::async_trait;
use std::time::Duration;

pub(super) struct SqlSession<B> {
    connection: B,
    address: String,
    identity: Identity,
    /// As [`meta::find_identity`] says.
    compatible: &'static str,
    /// The longest statement that is sent, in bytes.
    longest: usize,
    claim: ClaimColumns,
}

impl<B: Backend> SqlSession<B> {
    /// Reads the identity of the shard. `longest` is the longest statement that the server takes,
    /// in bytes.
    pub async fn open(
        mut connection: B,
        address: String,
        longest: usize,
        claim: ClaimColumns,
    ) -> Result<Self, StoreError> {
        let found = meta::find_identity(&mut connection, &address).await;
        let found = found.and_then(|found| {
            found.ok_or_else(|| {
                StoreError::WrongShard(format!(
                    "{address} has no aka tables: run `aka migrate` with the same shards first"
                ))
            })
        });
        match found {
            Ok((identity, compatible)) => {
                Ok(Self { connection, address, identity, compatible, longest, claim })
            }
            Err(error) => {
                // The first error is the one that is reported.
                let _ = close(connection).await;
                Err(error)
            }
        }
    }

    async fn command(&mut self, sql: &'static str) -> Result<(), StoreError> {
        let done = self.connection.command(sql).await;
        done.map_err(|error| classify::<B>(&self.address, error))
    }
}

/// Calls a function of a sibling module on the connection, and sorts its error.
macro_rules! sorted {
    ($session:ident, $module:ident::$statement:ident($($argument:expr),*)) => {{
        let done = $module::$statement(&mut $session.connection, $($argument),*).await;
        done.map_err(|error| classify::<B>(&$session.address, error))
    }};
}

#[async_trait]
impl<B: Backend> Session for SqlSession<B> {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn most_keys(&self) -> usize {
        reads::most_keys(self.longest)
    }

    async fn close(self: Box<Self>) {
        if let Err(error) = close(self.connection).await {
            tracing::debug!(address = self.address, %error, "a connection was not closed in order");
        }
    }

    async fn load(&mut self, keys: &[Key]) -> Result<Loaded, StoreError> {
        sorted!(self, reads::load(keys, &self.claim))
    }

    async fn inverse_rows(
        &mut self,
        canonical: &Key,
        after: Option<(&Id, Stamp)>,
        limit: u32,
    ) -> Result<Vec<InverseRow>, StoreError> {
        sorted!(self, reads::inverse_rows(canonical, after, limit))
    }

    async fn pins_of(&mut self, canonicals: &[Key]) -> Result<Vec<InverseRow>, StoreError> {
        sorted!(self, reads::pins_of(canonicals, self.longest))
    }

    async fn read_log(&mut self, cursor: u64, limit: u32) -> Result<LogPage, StoreError> {
        sorted!(self, reads::read_log(cursor, limit, &self.claim, self.compatible))
    }

    async fn beat(&mut self, older_than: Duration) -> Result<(), StoreError> {
        let micros = u64::try_from(older_than.as_micros()).unwrap_or(u64::MAX);
        let Some(beat) = self.claim.beat_statement::<B>(micros) else { return Ok(()) };
        let done = self.connection.execute(Query::new(beat)).await;
        done.map(drop).map_err(|error| classify::<B>(&self.address, error))
    }

    async fn begin(&mut self) -> Result<Clock, StoreError> {
        sorted!(self, writes::begin(&self.claim))
    }

    async fn read_set(&mut self, wanted: &Wanted) -> Result<ReadSet, StoreError> {
        sorted!(self, writes::read_set(wanted, self.longest))
    }

    async fn write(
        &mut self,
        changes: &ChangeSet,
        authors: &[Option<&Author>],
    ) -> Result<(), StoreError> {
        // The tables may have been migrated since the session was opened: the next one finds out.
        let authors = (self.identity.schema_version >= AUTHORS_SCHEMA).then_some(authors);
        sorted!(self, writes::write(changes, authors, self.longest))
    }

    async fn commit(&mut self) -> Result<(), CommitFailure> {
        self.connection.command("COMMIT").await.map_err(|error| {
            let rolled_back = B::is_rolled_back(&error);
            CommitFailure { error: classify::<B>(&self.address, error), rolled_back }
        })
    }

    async fn rollback(&mut self) -> Result<(), StoreError> {
        self.command("ROLLBACK").await
    }

    async fn begin_snapshot(&mut self) -> Result<(), StoreError> {
        self.command(B::BEGIN_SNAPSHOT).await
    }

    async fn claim_pruning(&mut self) -> Result<bool, StoreError> {
        sorted!(self, prune::claim(&self.identity))
    }

    async fn prune(&mut self, what: &Prune) -> Result<Pruned, StoreError> {
        sorted!(self, prune::prune(what))
    }

    async fn scan_forward(
        &mut self,
        after: Option<&Stored<ForwardRow>>,
        limit: u32,
    ) -> Result<Vec<Stored<ForwardRow>>, StoreError> {
        sorted!(self, scans::scan_forward(after, limit))
    }

    async fn scan_aliases(
        &mut self,
        after: Option<&Stored<Id>>,
        limit: u32,
    ) -> Result<AliasPage, StoreError> {
        sorted!(self, scans::scan_aliases(after, limit, &self.claim))
    }

    async fn count_first(&mut self, limit: u32) -> Result<Vec<(u16, u64)>, StoreError> {
        sorted!(self, scans::count_first(limit))
    }

    async fn scan_inverse(
        &mut self,
        after: Option<&Stored<InverseRow>>,
        limit: u32,
    ) -> Result<(Micros, Vec<Stored<InverseRow>>), StoreError> {
        sorted!(self, scans::scan_inverse(after, limit))
    }
}
