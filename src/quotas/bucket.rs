//! One bucket, as the time at which it will be full.

use aka_core::clock::Boottime;
use std::time::Duration;

/// So many ids a second, with a burst.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rate {
    pub per_s: f64,
    /// How many seconds' worth may come at once.
    pub burst: Duration,
}

impl Rate {
    /// How long so many ids take at this rate.
    fn time_of(&self, ids: usize) -> Duration {
        Duration::try_from_secs_f64(ids as f64 / self.per_s).unwrap_or(Duration::MAX)
    }
}

/// A bucket that fills at a rate. It is the generic cell rate algorithm (ITU-T I.371): only one time
/// is kept, the one at which the bucket is full again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct QuotaBucket {
    full_at: Boottime,
}

impl QuotaBucket {
    /// Takes so many ids, all or none. More than the bucket holds are taken from a full one, and then
    /// it is empty for longer.
    ///
    /// # Errors
    /// If there are not so many: how long it takes until there are.
    pub fn take(&mut self, ids: usize, rate: Rate, now: Boottime) -> Result<(), Duration> {
        let cost = rate.time_of(ids);
        let missing = self.full_at.since(now);
        let wait = (missing + cost.min(rate.burst)).saturating_sub(rate.burst);
        if !wait.is_zero() {
            return Err(wait);
        }
        self.full_at = self.full_at.max(now).plus(cost);
        Ok(())
    }

    /// Whether it is full. Then nothing is lost if it is forgotten.
    pub fn is_full(&self, now: Boottime) -> bool {
        self.full_at <= now
    }

    /// When it will be full.
    pub fn full_at(&self) -> Boottime {
        self.full_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_burst_is_taken_and_then_the_rate() {
        let (mut bucket, now) = (QuotaBucket::default(), Boottime::now());
        let rate = Rate { per_s: 100.0, burst: 2 * SECOND };
        assert_eq!(bucket.take(150, rate, now), Ok(()));
        assert_eq!(bucket.take(51, rate, now), Err(Duration::from_millis(10)));
        assert_eq!(bucket.take(50, rate, now), Ok(()));
        assert_eq!(bucket.take(1, rate, now), Err(Duration::from_millis(10)));
        let later = now.plus(SECOND);
        assert_eq!(bucket.take(101, rate, later), Err(Duration::from_millis(10)));
        assert_eq!(bucket.take(100, rate, later), Ok(()));
        assert!(!bucket.is_full(later.plus(SECOND)));
        assert!(bucket.is_full(later.plus(2 * SECOND)));
    }

    #[test]
    fn what_the_wait_says_is_enough_and_no_less() {
        let (mut bucket, now) = (QuotaBucket::default(), Boottime::now());
        let rate = Rate { per_s: 3.0, burst: SECOND };
        assert_eq!(bucket.take(3, rate, now), Ok(()));
        let wait = bucket.take(2, rate, now).expect_err("it is empty");
        assert!(bucket.take(2, rate, now.plus(wait - Duration::from_nanos(1))).is_err());
        assert_eq!(bucket.take(2, rate, now.plus(wait)), Ok(()));
    }

    #[test]
    fn more_than_the_bucket_holds_is_taken_from_a_full_one() {
        let (mut bucket, now) = (QuotaBucket::default(), Boottime::now());
        let rate = Rate { per_s: 100.0, burst: SECOND };
        assert_eq!(bucket.take(1_000, rate, now), Ok(()));
        assert_eq!(bucket.take(1_000, rate, now), Err(10 * SECOND));
        assert_eq!(bucket.take(1_000, rate, now.plus(10 * SECOND)), Ok(()));
    }
}
