//! Which shard owns which slot, as the shards' databases say (rule 9).

use super::{Expected, StoreError};
use aka_core::domain::{ClusterId, Identity, SLOTS, ShardId, Slot};
use parking_lot::Mutex;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

const NOBODY: u16 = u16::MAX;

/// The cluster, and the owner of each slot. A slot whose shard has not been reached yet has no
/// owner. Its ids are unavailable, which is not the same as being no aliases.
pub struct Directory {
    cluster: OnceLock<ClusterId>,
    shard_count: u16,
    owners: Box<[AtomicU16]>,
    admission: Mutex<()>,
}

impl Directory {
    /// A directory in which no slot has an owner yet.
    pub fn new(shard_count: u16) -> Self {
        let owners = (0..SLOTS).map(|_| AtomicU16::new(NOBODY)).collect();
        Self { cluster: OnceLock::new(), shard_count, owners, admission: Mutex::default() }
    }

    /// The cluster of the shards. `None` until one has been reached.
    pub fn cluster(&self) -> Option<ClusterId> {
        self.cluster.get().copied()
    }

    /// The shard that owns a slot.
    pub fn owner(&self, slot: Slot) -> Option<ShardId> {
        let owner = self.owners[usize::from(slot.get())].load(Ordering::Acquire);
        (owner != NOBODY).then_some(ShardId(owner))
    }

    /// The first slot that has no owner.
    pub fn unowned(&self) -> Option<Slot> {
        Slot::all().find(|&slot| self.owner(slot).is_none())
    }

    /// Checks the identity of a shard, and records its slots. It is called for every new
    /// connection.
    ///
    /// # Errors
    /// If it is not the shard that the configuration means, or owns a slot that another shard owns.
    pub fn admit(&self, shard: ShardId, found: &Identity, address: &str) -> Result<(), StoreError> {
        let _one_at_a_time = self.admission.lock();
        let shard_count = self.shard_count;
        Expected { shard, shard_count, cluster: self.cluster() }.check(found, address)?;
        for slot in Slot::all() {
            match self.owner(slot) {
                Some(owner) if owner != shard && found.slots.contains(slot) => {
                    return Err(StoreError::WrongShard(format!(
                        "slot {} is owned by shard {owner} and by shard {shard} ({address}): a slot has one owner; correct shard_meta.slots of the wrong one",
                        slot.get()
                    )));
                }
                Some(owner) if owner == shard && !found.slots.contains(slot) => {
                    return Err(StoreError::WrongShard(format!(
                        "{address} no longer owns slot {}: restart aka to read the owners anew",
                        slot.get()
                    )));
                }
                _ => {}
            }
        }
        for slot in found.slots.iter() {
            self.owners[usize::from(slot.get())].store(shard.0, Ordering::Release);
        }
        // If it is set already, it is the same cluster: that was checked above.
        let _ = self.cluster.set(found.cluster);
        Ok(())
    }
}
