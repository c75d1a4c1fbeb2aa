//! The clock by which freshness is judged.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// A point in time by CLOCK_BOOTTIME. It counts the time that the machine was suspended, which
/// [`std::time::Instant`] does not: a cache that slept for an hour is an hour old.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Boottime {
    nanos: u64,
}

impl Boottime {
    /// When the machine started.
    pub const ZERO: Self = Self { nanos: 0 };

    /// Later than any other.
    pub const MAX: Self = Self { nanos: u64::MAX };

    pub fn now() -> Self {
        let time = clock_gettime(ClockId::Boottime);
        Self { nanos: time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64 }
    }

    /// The nanoseconds since boot, to be kept in an atomic.
    pub fn nanos(self) -> u64 {
        self.nanos
    }

    pub fn from_nanos(nanos: u64) -> Self {
        Self { nanos }
    }

    /// How long ago `earlier` was; 0 if it is to come.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.nanos.saturating_sub(earlier.nanos))
    }

    pub fn plus(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self { nanos: self.nanos.saturating_add(nanos) }
    }
}
