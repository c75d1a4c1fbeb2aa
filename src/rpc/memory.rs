//! The memory that clients can make the server keep: messages that are not whole yet, answers that
//! are not read, headers of calls under way. All of it comes out of one budget.
//!
//! What memory can answer at once is not counted: it is here for no longer than its turn.

use bytes::Bytes;
use metrics::{Counter, Gauge};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The share of the budget that one connection may use: the reciprocal.
const SHARE: u64 = 4;

/// The room for what no call has read yet, in addition to the budget: the reciprocal.
const WINDOWS: u64 = 4;

/// An answer of at most so many bytes is not counted while the client reads.
const SMALL_ANSWER: usize = 16 << 10;

/// The budget of the server.
pub struct RequestMemory {
    most: u64,
    held: AtomicU64,
    held_now: Gauge,
    refused: Counter,
    /// The room of all connections for what no call has read yet, beyond what every client may send.
    windows: AtomicU64,
}

impl RequestMemory {
    /// A budget of so many bytes. The gauge shows how many are held, the counter how often there
    /// was no room.
    pub fn new(most: u64, held_now: Gauge, refused: Counter) -> Self {
        Self { most, held: AtomicU64::new(0), held_now, refused, windows: AtomicU64::new(0) }
    }

    /// The budget of one connection, which is a part of the server's.
    pub fn of_connection(self: &Arc<Self>) -> ConnectionMemory {
        let (held, backlog) = (AtomicU64::new(0), Backlog::default());
        ConnectionMemory(Arc::new(Used { server: self.clone(), held, backlog }))
    }
}

/// The budget of one connection.
#[derive(Clone)]
pub struct ConnectionMemory(Arc<Used>);

struct Used {
    server: Arc<RequestMemory>,
    held: AtomicU64,
    backlog: Backlog,
}

/// Whether bytes for a client wait because it does not read: it may have opened its windows as wide
/// as it likes. Shared with the connection, which knows.
#[derive(Clone, Default)]
pub struct Backlog(Arc<AtomicBool>);

impl Backlog {
    /// Says so.
    #[inline]
    pub fn set(&self, exists: bool) {
        self.0.store(exists, Ordering::Relaxed);
    }
}

/// An answer that counts as held until it is dropped. h2 drops it when the socket has taken it.
struct KeptAnswer {
    bytes: Bytes,
    _held: HeldMemory,
}

impl AsRef<[u8]> for KeptAnswer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The room that a connection has for what no call has read yet, beyond what every client may send.
/// Dropping it gives it back.
pub struct HeldWindow {
    server: Arc<RequestMemory>,
    bytes: u64,
}

impl HeldWindow {
    /// Holds so many bytes if it holds fewer. Returns false if there are not so many.
    #[must_use]
    pub fn hold(&mut self, bytes: u32) -> bool {
        let more = u64::from(bytes).saturating_sub(self.bytes);
        let taken = add(&self.server.windows, more, self.server.most / WINDOWS);
        if taken {
            self.bytes += more;
        }
        taken
    }
}

impl Drop for HeldWindow {
    fn drop(&mut self) {
        self.server.windows.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl ConnectionMemory {
    /// Tells this when bytes for the client wait.
    pub fn backlog(&self) -> Backlog {
        self.0.backlog.clone()
    }

    /// No room yet beyond what every client may send.
    pub fn window(&self) -> HeldWindow {
        HeldWindow { server: self.0.server.clone(), bytes: 0 }
    }

    /// Counts an answer as held until the socket has taken it, if it is large or the client does not
    /// read. `None`: there is no memory for it.
    pub fn keep(&self, answer: Bytes) -> Option<Bytes> {
        let backlog = self.0.backlog.0.load(Ordering::Relaxed);
        if answer.len() <= SMALL_ANSWER && !backlog {
            return Some(answer);
        }
        self.keep_always(answer)
    }

    /// The same for every answer.
    pub fn keep_always(&self, answer: Bytes) -> Option<Bytes> {
        let held = self.take(answer.len())?;
        Some(Bytes::from_owner(KeptAnswer { bytes: answer, _held: held }))
    }

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
        let (bytes, Used { server, held, .. }) = (bytes as u64, &*self.used);
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
            let Used { server, held, .. } = &*self.used;
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
