//! Whether a shard can be reached, as its lanes find out. Other tasks need not wait to find out.
//!
//! A lane that has nothing to do would not find out. So every connection that fails, first of all the
//! feed's, makes the idle lanes try theirs.

use crate::store::StoreError;
use aka_core::domain::ShardId;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::sync::Notify;

pub(super) struct Health {
    shard: ShardId,
    address: String,
    /// Lanes that have a connection.
    connected: AtomicUsize,
    /// Whether a lane failed to connect while no other lane was connected.
    down: AtomicBool,
    /// Idle lanes wait for it.
    doubts: Notify,
}

impl Health {
    pub fn new(shard: ShardId, address: String) -> Self {
        Self {
            shard,
            address,
            connected: AtomicUsize::new(0),
            down: AtomicBool::new(false),
            doubts: Notify::new(),
        }
    }

    pub fn is_up(&self) -> bool {
        !self.is_down() && self.connected.load(Ordering::Acquire) > 0
    }

    /// Whether the shard is known to be down. False before the first attempt to connect has ended.
    pub fn is_down(&self) -> bool {
        self.down.load(Ordering::Acquire)
    }

    /// Notes that a connection of any task failed: the shard may be down.
    pub fn doubt(&self) {
        self.doubts.notify_waiters();
    }

    /// Waits for the next failure of a connection. A failure before this call does not count: if it
    /// lasts, another attempt fails soon.
    pub async fn doubted(&self) {
        self.doubts.notified().await;
    }

    pub fn connected(&self) {
        self.connected.fetch_add(1, Ordering::AcqRel);
        if self.down.swap(false, Ordering::AcqRel) {
            tracing::info!(shard = self.shard.0, address = self.address, "the shard is back");
        }
    }

    pub fn disconnected(&self) {
        self.connected.fetch_sub(1, Ordering::AcqRel);
    }

    /// Notes that a lane could not connect. True if no lane is connected, so no key can be loaded.
    pub fn failed(&self, error: &StoreError) -> bool {
        let alone = self.connected.load(Ordering::Acquire) == 0;
        if alone && !self.down.swap(true, Ordering::AcqRel) {
            let address = &self.address;
            tracing::error!(shard = self.shard.0, address, %error, "the shard is down");
        }
        if self.connected.load(Ordering::Acquire) > 0 {
            // Another lane connected between the check and the store, which would hide it.
            self.down.store(false, Ordering::Release);
            return false;
        }
        alone
    }
}
