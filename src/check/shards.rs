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
        let mut opened = Self { sessions: Vec::new(), directory };
        match opened.connect(stores).await {
            Ok(()) => Ok(opened),
            Err(error) => {
                opened.close().await;
                Err(error)
            }
        }
    }

    async fn connect(&mut self, stores: &[Box<dyn Store>]) -> Result<(), StoreError> {
        for (shard, store) in (0..).map(ShardId).zip(stores) {
            self.sessions.push(store.connect_to_primary(Role::Read).await?);
            let found = self.session(usize::from(shard.0)).identity().clone();
            self.directory.admit(shard, &found, &store.address())?;
        }
        match self.directory.unowned() {
            Some(slot) => {
                let slot = slot.get();
                Err(StoreError::WrongShard(format!("no shard owns slot {slot}")))
            }
            None => Ok(()),
        }
    }

    /// Closes all sessions in order.
    pub async fn close(self) {
        for session in self.sessions {
            session.close().await;
        }
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
