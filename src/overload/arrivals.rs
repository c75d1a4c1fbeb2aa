//! When the bytes of a connection reached this machine.

use aka_core::clock::Boottime;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// When what was read last from a connection had arrived. Clones are the same.
///
/// While a thread is late, bytes wait in the kernel. The deadline of a call counts from its arrival, so
/// this time counts too. It is the latest possible time: the bytes of a read may have come one after
/// the other.
#[derive(Clone, Debug)]
pub struct Arrivals(Arc<AtomicU64>);

impl Arrivals {
    /// Nothing has been read yet.
    pub fn new() -> Self {
        Self(Arc::new(AtomicU64::new(Boottime::now().nanos())))
    }

    /// Bytes were read that had arrived then.
    pub fn read(&self, arrived: Boottime) {
        self.0.store(arrived.nanos(), Ordering::Relaxed);
    }

    /// When the bytes that were read last had arrived.
    #[inline]
    pub fn last(&self) -> Boottime {
        Boottime::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

impl Default for Arrivals {
    fn default() -> Self {
        Self::new()
    }
}
