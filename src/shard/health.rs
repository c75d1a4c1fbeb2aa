//! The health of a shard, as its connections find it. Other tasks ask here, and need not wait for a
//! connection.
//!
//! An idle lane would not notice that the shard is down. So every connection that fails (usually
//! the feed's is the first) makes the idle lanes try theirs.

use crate::store::StoreError;
use aka_core::coherence::LookupFailure;
use aka_core::domain::{Bar, ShardId};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;
use tokio::sync::Notify;

pub(super) struct Health {
    shard: ShardId,
    address: String,
    /// Lanes that have a connection.
    connected: AtomicUsize,
    /// Whether a lane failed to connect while no other lane was connected.
    down: AtomicBool,
    /// Why the last lane could not connect, if the database answered.
    bar: Mutex<Option<Bar>>,
    last_error: Mutex<Option<ShardError>>,
    /// Why the database refused the last write transaction. `None` if it was committed.
    write_error: Mutex<Option<ShardError>>,
    /// Wakes the idle lanes when a connection has failed.
    doubts: Notify,
}

/// An error of a shard, for operators. It never reaches a client.
#[derive(Clone, Debug)]
pub struct ShardError {
    pub error: StoreError,
    pub at: Instant,
}

impl ShardError {
    fn now(error: &StoreError) -> Self {
        Self { error: error.clone(), at: Instant::now() }
    }
}

impl Health {
    pub fn new(shard: ShardId, address: String) -> Self {
        Self {
            shard,
            address,
            connected: AtomicUsize::new(0),
            down: AtomicBool::new(false),
            bar: Mutex::default(),
            last_error: Mutex::default(),
            write_error: Mutex::default(),
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

    /// Why keys cannot be loaded while the shard is down.
    pub fn failure(&self) -> LookupFailure {
        self.bar.lock().map_or(LookupFailure::Unavailable, LookupFailure::Barred)
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
            // A write that was refused while the shard was down says nothing about the next one.
            self.note_write(None);
            tracing::info!(shard = self.shard.0, address = self.address, "the shard is back");
        }
    }

    pub fn disconnected(&self) {
        self.connected.fetch_sub(1, Ordering::AcqRel);
    }

    /// Notes that a lane could not connect. Returns true if no lane is connected, so that no key
    /// can be loaded.
    pub fn failed(&self, error: &StoreError) -> bool {
        let alone = self.connected.load(Ordering::Acquire) == 0;
        if alone {
            let changed = std::mem::replace(&mut *self.bar.lock(), error.bar()) != error.bar();
            if !self.down.swap(true, Ordering::AcqRel) || changed {
                let address = &self.address;
                tracing::error!(shard = self.shard.0, address, %error, "the shard is down");
            }
        }
        if self.connected.load(Ordering::Acquire) > 0 {
            // Another lane may have connected between the check and the store. The store would hide
            // that.
            self.down.store(false, Ordering::Release);
            return false;
        }
        alone
    }

    pub fn note_error(&self, error: &StoreError) {
        *self.last_error.lock() = Some(ShardError::now(error));
    }

    /// Notes that a write transaction was committed, or that the database refused it.
    pub fn note_write(&self, refused: Option<&StoreError>) {
        *self.write_error.lock() = refused.map(ShardError::now);
    }

    pub fn last_error(&self) -> Option<ShardError> {
        self.last_error.lock().clone()
    }

    pub fn write_error(&self) -> Option<ShardError> {
        self.write_error.lock().clone()
    }
}
