//! A [`Session`] over any [`Backend`]. It sorts the errors; the statements are in the sibling
//! modules.

use super::backend::{Backend, classify};
use super::{meta, prune, reads, scans, writes};
use crate::store::{FiledKey, Prune, Pruned, Session, StoreError, Stored};
use aka_core::domain::{
    ForwardRow, Id, Identity, InverseRow, Key, Loaded, LogPage, Micros, Position, Stamp,
};
use aka_core::write::{ChangeSet, Clock, ReadSet, Wanted};
use async_trait::async_trait;

pub(super) struct SqlSession<B> {
    connection: B,
    address: String,
    identity: Identity,
}

impl<B: Backend> SqlSession<B> {
    /// Reads the identity of the shard.
    pub async fn open(mut connection: B, address: String) -> Result<Self, StoreError> {
        let identity = meta::read_identity(&mut connection, &address).await?;
        let identity = identity.ok_or_else(|| {
            StoreError::WrongShard(format!(
                "{address} has no aka tables: run `aka migrate` with the same shards first"
            ))
        })?;
        Ok(Self { connection, address, identity })
    }

    fn sorted<T>(&self, result: Result<T, sqlx::Error>) -> Result<T, StoreError> {
        result.map_err(|error| classify::<B>(&self.address, error))
    }
}

#[async_trait]
impl<B: Backend> Session for SqlSession<B> {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    async fn load(&mut self, keys: &[Key]) -> Result<Loaded, StoreError> {
        let loaded = reads::load(&mut self.connection, keys).await;
        self.sorted(loaded)
    }

    async fn inverse_rows(
        &mut self,
        canonical: &Key,
        after: Option<(&Id, Stamp)>,
        limit: u32,
    ) -> Result<Vec<InverseRow>, StoreError> {
        let rows = reads::inverse_rows(&mut self.connection, canonical, after, limit).await;
        self.sorted(rows)
    }

    async fn pins_of(&mut self, canonicals: &[Key]) -> Result<Vec<InverseRow>, StoreError> {
        let rows = reads::pins_of(&mut self.connection, canonicals).await;
        self.sorted(rows)
    }

    async fn read_log(&mut self, cursor: u64, limit: u32) -> Result<LogPage, StoreError> {
        let page = reads::read_log(&mut self.connection, cursor, limit).await;
        self.sorted(page)
    }

    async fn begin(&mut self) -> Result<Clock, StoreError> {
        let clock = writes::begin(&mut self.connection).await;
        self.sorted(clock)
    }

    async fn read_set(&mut self, wanted: &Wanted) -> Result<ReadSet, StoreError> {
        let read = writes::read_set(&mut self.connection, wanted).await;
        self.sorted(read)
    }

    async fn write(&mut self, changes: &ChangeSet) -> Result<(), StoreError> {
        let written = writes::write(&mut self.connection, changes).await;
        self.sorted(written)
    }

    async fn commit(&mut self) -> Result<(), StoreError> {
        let committed = self.connection.command("COMMIT").await;
        self.sorted(committed)
    }

    async fn rollback(&mut self) -> Result<(), StoreError> {
        let rolled_back = self.connection.command("ROLLBACK").await;
        self.sorted(rolled_back)
    }

    async fn begin_snapshot(&mut self) -> Result<(), StoreError> {
        let begun = self.connection.command(B::BEGIN_SNAPSHOT).await;
        self.sorted(begun)
    }

    async fn claim_pruning(&mut self) -> Result<bool, StoreError> {
        let claimed = prune::claim(&mut self.connection, &self.identity).await;
        self.sorted(claimed)
    }

    async fn prune(&mut self, what: &Prune) -> Result<Pruned, StoreError> {
        let pruned = prune::prune(&mut self.connection, what).await;
        self.sorted(pruned)
    }

    async fn scan_forward(
        &mut self,
        after: Option<&Stored<ForwardRow>>,
        limit: u32,
    ) -> Result<Vec<Stored<ForwardRow>>, StoreError> {
        let rows = scans::scan_forward(&mut self.connection, after, limit).await;
        self.sorted(rows)
    }

    async fn scan_keys(
        &mut self,
        after: Option<&FiledKey>,
        limit: u32,
    ) -> Result<(Position, Vec<FiledKey>), StoreError> {
        let keys = scans::scan_keys(&mut self.connection, after, limit).await;
        self.sorted(keys)
    }

    async fn count_first(&mut self, limit: u32) -> Result<Vec<(u16, u64)>, StoreError> {
        let count = scans::count_first(&mut self.connection, limit).await;
        self.sorted(count)
    }

    async fn scan_inverse(
        &mut self,
        after: Option<&Stored<InverseRow>>,
        limit: u32,
    ) -> Result<(Micros, Vec<Stored<InverseRow>>), StoreError> {
        let rows = scans::scan_inverse(&mut self.connection, after, limit).await;
        self.sorted(rows)
    }
}
