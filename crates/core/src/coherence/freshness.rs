//! When was this shard's change log last seen whole?

use crate::clock::Boottime;
use crate::sync::{AtomicU64, Ordering};
use std::time::Duration;

/// The start of the last complete look at a shard's change log. The *start*: what was committed
/// after it may be missing from what the look saw.
#[derive(Debug, Default)]
pub struct Freshness {
    /// Nanoseconds of [`Boottime`]; 0 means never.
    polled: AtomicU64,
}

impl Freshness {
    pub(super) fn polled_at(&self, start: Boottime) {
        self.polled.store(start.nanos().max(1), Ordering::Release);
    }

    pub(super) fn never(&self) {
        self.polled.store(0, Ordering::Release);
    }

    /// How old memory may be at `now`; `None` if there was no complete look.
    pub fn age(&self, now: Boottime) -> Option<Duration> {
        match self.polled.load(Ordering::Acquire) {
            0 => None,
            nanos => Some(now.since(Boottime::from_nanos(nanos))),
        }
    }
}
