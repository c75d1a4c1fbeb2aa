//! Whose turn it is to take keys: the waiting lane with the lowest number.
//!
//! So as few lanes are used as keep up. The first takes all keys as long as it is back in time, and
//! its query carries what has gathered meanwhile. A lane that connects or asks is not waiting, so it
//! holds nobody up.

use parking_lot::Mutex;
use std::collections::BTreeSet;
use tokio::sync::Notify;

/// The lanes of a shard that wait for keys.
pub(super) struct LaneTurns {
    waiting: Mutex<BTreeSet<usize>>,
    /// One for each lane. It may be told without a reason.
    told: Box<[Notify]>,
}

impl LaneTurns {
    pub fn new(lanes: usize) -> Self {
        Self { waiting: Mutex::default(), told: (0..lanes).map(|_| Notify::new()).collect() }
    }

    /// This lane waits for keys.
    pub fn enter(&self, lane: usize) {
        self.waiting.lock().insert(lane);
    }

    /// This lane waits no longer.
    pub fn leave(&self, lane: usize) {
        self.waiting.lock().remove(&lane);
    }

    /// Whether this lane waits, and none with a lower number does.
    pub fn is_first(&self, lane: usize) -> bool {
        self.waiting.lock().first() == Some(&lane)
    }

    /// Wakes the lane whose turn it is, if one waits.
    pub fn wake(&self) {
        let first = self.waiting.lock().first().copied();
        if let Some(told) = first.and_then(|lane| self.told.get(lane)) {
            told.notify_one();
        }
    }

    /// Waits until this lane should look again. Cancel safe.
    pub async fn told(&self, lane: usize) {
        match self.told.get(lane) {
            Some(told) => told.notified().await,
            // There is no such lane.
            None => std::future::pending().await,
        }
    }
}
