//! The clock by which freshness is measured (rule 6).

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// A point in time by `CLOCK_BOOTTIME`.
///
/// This clock goes on while the machine is suspended, and [`std::time::Instant`] does not. After an
/// hour of suspension, what is in memory must count as an hour old.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Boottime {
    nanos: u64,
}

impl Boottime {
    /// When the machine started.
    pub const ZERO: Self = Self { nanos: 0 };

    /// The latest point in time.
    pub const MAX: Self = Self { nanos: u64::MAX };

    /// The present time.
    #[inline]
    pub fn now() -> Self {
        let time = clock_gettime(ClockId::Boottime);
        Self { nanos: time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64 }
    }

    /// The nanoseconds since the machine started, to be kept in an atomic.
    #[inline]
    pub fn nanos(self) -> u64 {
        self.nanos
    }

    /// The reverse of [`nanos`](Self::nanos).
    #[inline]
    pub fn from_nanos(nanos: u64) -> Self {
        Self { nanos }
    }

    /// The time from `earlier` to `self`; 0 if `earlier` is later.
    #[inline]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.nanos.saturating_sub(earlier.nanos))
    }

    /// The point in time that is `duration` earlier; [`ZERO`](Self::ZERO) at the earliest.
    #[inline]
    pub fn minus(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self { nanos: self.nanos.saturating_sub(nanos) }
    }

    /// The point in time that is `duration` later.
    #[inline]
    pub fn plus(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self { nanos: self.nanos.saturating_add(nanos) }
    }
}
