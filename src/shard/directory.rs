//! Which shard owns which slot, as the shards themselves say.

use crate::store::{Expected, StoreError};
use aka_core::domain::Identity;
use aka_core::domain::{ClusterId, SLOTS, ShardId, Slot};
use parking_lot::Mutex;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

const NOBODY: u16 = u16::MAX;

/// The cluster, and the owner of each slot. A slot of a shard that has not been reached yet has no
/// owner: its ids cannot be found out, which is not the same as being no aliases.
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

    /// The first slot that nobody owns.
    pub fn unowned(&self) -> Option<Slot> {
        Slot::all().find(|&slot| self.owner(slot).is_none())
    }

    /// Checks who a shard says it is, each time that a connection opens, and takes note of its slots.
    ///
    /// # Errors
    /// If it is not the shard that the configuration means, or owns a slot that another owns.
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
        // Set already, or equal to what is set: it was checked above.
        let _ = self.cluster.set(found.cluster);
        Ok(())
    }
}
