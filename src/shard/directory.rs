//! The directory: which shard owns which slot, as the shards themselves say.

use crate::store::{Expected, StoreError};
use aka_core::domain::{ClusterId, Identity, SLOTS, ShardId, Slot};
use parking_lot::Mutex;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

const NOBODY: u16 = u16::MAX;

/// The cluster, and the owner of each slot. A slot of a shard that has not been reached yet has no
/// owner. Its ids are unavailable, which is not the same as "not an alias".
pub struct Directory {
    cluster: OnceLock<ClusterId>,
    shard_count: u16,
    owners: Box<[AtomicU16]>,
    admission: Mutex<()>,
}

impl Directory {
    pub fn new(shard_count: u16) -> Self {
        let owners = (0..SLOTS).map(|_| AtomicU16::new(NOBODY)).collect();
        Self { cluster: OnceLock::new(), shard_count, owners, admission: Mutex::default() }
    }

    /// `None` until a shard has been reached.
    pub fn cluster(&self) -> Option<ClusterId> {
        self.cluster.get().copied()
    }

    pub fn owner(&self, slot: Slot) -> Option<ShardId> {
        let owner = self.owners[usize::from(slot.get())].load(Ordering::Acquire);
        (owner != NOBODY).then_some(ShardId(owner))
    }

    /// The first slot without an owner.
    pub fn unowned(&self) -> Option<Slot> {
        Slot::all().find(|&slot| self.owner(slot).is_none())
    }

    /// Checks the identity of a shard when a connection opens, and notes its slots (rule 9).
    ///
    /// # Errors
    /// If it is not the shard of the configuration, or if it owns a slot of another shard.
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
        // It fails if it is set already. It is the same cluster then, as checked above.
        let _ = self.cluster.set(found.cluster);
        Ok(())
    }
}
