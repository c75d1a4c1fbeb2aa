//! Freshness: when the last complete poll of a shard started (rule 6).

use crate::clock::Boottime;
use crate::sync::{AtomicU64, Ordering};
use std::time::Duration;

/// The start of the last complete poll of a shard. The start counts: a change that commits after it
/// may be missing from what the poll saw.
#[derive(Debug, Default)]
pub struct Freshness {
    /// Nanoseconds of [`Boottime`]; 0 if there was no complete poll.
    polled: AtomicU64,
}

impl Freshness {
    /// A poll is complete up to this time. It may be earlier than that of the poll before, whose
    /// server had a younger proof; then memory stays as fresh as it was. Under the history's lock.
    pub(super) fn polled_at(&self, start: Boottime) {
        let before = self.polled.load(Ordering::Acquire);
        self.polled.store(start.nanos().max(before).max(1), Ordering::Release);
    }

    pub(super) fn never(&self) {
        self.polled.store(0, Ordering::Release);
    }

    /// How old memory may be at `now`; `None` if there was no complete poll.
    #[inline]
    pub fn age(&self, now: Boottime) -> Option<Duration> {
        match self.polled.load(Ordering::Acquire) {
            0 => None,
            nanos => Some(now.since(Boottime::from_nanos(nanos))),
        }
    }
}
