//! One session on each shard, and the batched reads that a check makes across them.

use crate::store::{Directory, Role, Session, Store, StoreError};
use aka_core::domain::{ForwardRow, InverseRow, Key, ShardId, Slot};
use std::collections::HashMap;

/// How many keys one query asks for, at most.
const KEYS: usize = 256;

/// One session on each shard. Each is checked to lead to the right one.
pub struct ShardSessions {
    sessions: Vec<Box<dyn Session>>,
    directory: Directory,
}

impl ShardSessions {
    /// Opens the sessions.
    ///
    /// # Errors
    /// If a shard cannot be reached or is not the one that is named, or if a slot has no owner.
    pub async fn open(stores: &[Box<dyn Store>]) -> Result<Self, StoreError> {
        let directory = Directory::new(stores.len() as u16);
        let mut sessions = Vec::new();
        for (shard, store) in (0..).map(ShardId).zip(stores) {
            let session = store.connect(Role::Read).await?;
            directory.admit(shard, session.identity(), &store.address())?;
            sessions.push(session);
        }
        if let Some(slot) = directory.unowned() {
            let slot = slot.get();
            return Err(StoreError::WrongShard(format!("no shard owns slot {slot}")));
        }
        Ok(Self { sessions, directory })
    }

    /// The session of a shard.
    pub fn session(&mut self, shard: usize) -> &mut dyn Session {
        self.sessions[shard].as_mut()
    }

    /// The shard that owns a slot. [`open`](Self::open) made sure that each slot has an owner.
    pub fn owner(&self, slot: Slot) -> usize {
        self.directory.owner(slot).map_or(0, |shard| usize::from(shard.0))
    }

    fn by_shard(&self, keys: impl IntoIterator<Item = Key>) -> Vec<Vec<Key>> {
        let mut split = vec![Vec::new(); self.sessions.len()];
        for key in keys {
            split[self.owner(key.slot())].push(key);
        }
        for keys in &mut split {
            keys.sort_unstable();
            keys.dedup();
        }
        split
    }

    /// The forward rows of some keys, from the shards that own them.
    pub async fn forward(
        &mut self,
        keys: impl IntoIterator<Item = Key>,
    ) -> Result<HashMap<Key, ForwardRow>, StoreError> {
        let mut found = HashMap::new();
        for (shard, keys) in self.by_shard(keys).into_iter().enumerate() {
            let session = self.session(shard);
            for keys in keys.chunks(KEYS.min(session.most_keys())) {
                found.extend(session.load(keys).await?.rows);
            }
        }
        Ok(found)
    }

    /// All inverse rows of some canonical ids, from the shards that own them.
    pub async fn pins(
        &mut self,
        canonicals: impl IntoIterator<Item = Key>,
    ) -> Result<Vec<InverseRow>, StoreError> {
        let mut found = Vec::new();
        for (shard, keys) in self.by_shard(canonicals).into_iter().enumerate() {
            for keys in keys.chunks(KEYS) {
                found.extend(self.session(shard).pins_of(keys).await?);
            }
        }
        Ok(found)
    }
}
