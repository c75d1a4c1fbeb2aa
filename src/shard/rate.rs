//! Limits the lookups of a shard while memory may not answer.

use aka_core::clock::Boottime;
use parking_lot::Mutex;

/// A bucket of permits, one for each key. It is refilled all the time, and holds those of one
/// second.
///
/// While the feed of a shard stands still, every instance looks all its ids up in the database.
/// That is the load that memory keeps away otherwise (rule 6).
pub(super) struct RateLimit {
    per_second: u64,
    bucket: Mutex<Bucket>,
}

struct Bucket {
    permits: f64,
    filled: Boottime,
}

impl RateLimit {
    /// 0: no limit.
    pub fn new(per_second: u64) -> Self {
        let bucket = Bucket { permits: per_second as f64, filled: Boottime::default() };
        Self { per_second, bucket: Mutex::new(bucket) }
    }

    /// How many of `wanted` keys may be looked up now.
    pub fn take(&self, wanted: usize, now: Boottime) -> usize {
        if self.per_second == 0 {
            return wanted;
        }
        let mut bucket = self.bucket.lock();
        let most = self.per_second as f64;
        let gained = now.since(bucket.filled).as_secs_f64() * most;
        bucket.permits = (bucket.permits + gained).min(most);
        bucket.filled = now;
        let granted = wanted.min(bucket.permits as usize);
        bucket.permits -= granted as f64;
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_second_is_the_limit() {
        let start = Boottime::from_nanos(1_000_000_000);
        let limit = RateLimit::new(10);
        assert_eq!(limit.take(7, start), 7);
        assert_eq!(limit.take(7, start), 3);
        assert_eq!(limit.take(7, start), 0);
        assert_eq!(limit.take(7, start.plus(Duration::from_millis(500))), 5);
        assert_eq!(limit.take(99, start.plus(Duration::from_secs(60))), 10);
        assert_eq!(RateLimit::new(0).take(99, start), 99);
    }
}
