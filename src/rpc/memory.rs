//! The memory that clients can make the server keep: messages that are not whole yet, answers that
//! are not read, headers of calls under way. All of it comes out of one budget.
//!
//! What memory can answer at once is not counted: it is here for no longer than its turn.

use metrics::{Counter, Gauge};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The share of the budget that one connection may use: the reciprocal.
const SHARE: u64 = 4;

/// The budget of the server.
pub struct RequestMemory {
    most: u64,
    held: AtomicU64,
    held_now: Gauge,
    refused: Counter,
}

impl RequestMemory {
    /// A budget of so many bytes. The gauge shows how many are held, the counter how often there
    /// was no room.
    pub fn new(most: u64, held_now: Gauge, refused: Counter) -> Self {
        Self { most, held: AtomicU64::new(0), held_now, refused }
    }

    /// The budget of one connection, which is a part of the server's.
    pub fn of_connection(self: &Arc<Self>) -> ConnectionMemory {
        ConnectionMemory(Arc::new(Used { server: self.clone(), held: AtomicU64::new(0) }))
    }
}

/// The budget of one connection.
#[derive(Clone)]
pub struct ConnectionMemory(Arc<Used>);

struct Used {
    server: Arc<RequestMemory>,
    held: AtomicU64,
}

impl ConnectionMemory {
    /// Nothing is held yet. The memory is given back when what this returns is dropped.
    pub fn nothing(&self) -> HeldMemory {
        HeldMemory { used: self.0.clone(), bytes: 0 }
    }

    /// Takes bytes from the budget. `None`: there are not so many.
    pub fn take(&self, bytes: usize) -> Option<HeldMemory> {
        let mut held = self.nothing();
        held.grow(bytes).then_some(held)
    }
}

/// Bytes of the budget. Dropping it gives them back.
pub struct HeldMemory {
    used: Arc<Used>,
    bytes: u64,
}

impl HeldMemory {
    /// Nothing yet, of the same connection.
    pub fn another(&self) -> Self {
        Self { used: self.used.clone(), bytes: 0 }
    }

    /// Takes more. Returns false, and takes nothing, if there are not so many.
    #[must_use]
    pub fn grow(&mut self, bytes: usize) -> bool {
        let (bytes, Used { server, held }) = (bytes as u64, &*self.used);
        if !add(held, bytes, server.most / SHARE) {
            server.refused.increment(1);
            return false;
        }
        if !add(&server.held, bytes, server.most) {
            held.fetch_sub(bytes, Ordering::Relaxed);
            server.refused.increment(1);
            return false;
        }
        server.held_now.increment(bytes as f64);
        self.bytes += bytes;
        true
    }

    /// Holds so many bytes if it holds fewer. Returns false if there are not so many.
    #[must_use]
    pub fn hold(&mut self, bytes: usize) -> bool {
        let more = (bytes as u64).saturating_sub(self.bytes);
        more == 0 || self.grow(more as usize)
    }

    /// Gives all of it back.
    pub fn release(&mut self) {
        if self.bytes > 0 {
            let Used { server, held } = &*self.used;
            held.fetch_sub(self.bytes, Ordering::Relaxed);
            server.held.fetch_sub(self.bytes, Ordering::Relaxed);
            server.held_now.decrement(self.bytes as f64);
            self.bytes = 0;
        }
    }
}

impl Drop for HeldMemory {
    fn drop(&mut self) {
        self.release();
    }
}

/// Adds if the sum is not above `most`. Returns whether it did.
fn add(held: &AtomicU64, bytes: u64, most: u64) -> bool {
    let sum = |held: u64| held.checked_add(bytes).filter(|&sum| sum <= most);
    held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_a_connection_nor_all_together_hold_more_than_their_budget() {
        let server = RequestMemory::new(400, Gauge::noop(), Counter::noop());
        let server = Arc::new(server);
        let connections: Vec<_> = (0..5).map(|_| server.of_connection()).collect();
        let mut held: Vec<_> =
            connections.iter().filter_map(|connection| connection.take(90)).collect();
        assert_eq!(held.len(), 4, "the fifth finds nothing left");
        assert!(!held[0].grow(11), "more than a quarter");
        assert!(held[0].grow(10));
        assert!(connections[0].take(1).is_none());
        held.pop();
        assert!(connections[4].take(100).is_some());
        held[0].release();
        assert!(connections[0].take(100).is_some());
        assert_eq!(server.held.load(Ordering::Relaxed), 180);
    }
}
