//! The pace of a shard's lookup queries: the least time from the start of one to that of the next.

use std::time::Duration;
use tokio::time::Instant;

/// The weight of the newest query in the mean.
const WEIGHT: f64 = 1.0 / 16.0;

/// A query in whose time more keys come than this counts as one with so many.
const MOST: u64 = 2;

/// The runtime's timers count milliseconds and round up. Half of one is taken off, so that they are
/// right on average.
const TIMER_BIAS: Duration = Duration::from_micros(500);

/// The pace follows what the queries cost: it is the longest pace times the number of keys that
/// come while a query is out, up to one. That number is rate × time of a query, the share of its
/// time for which the shard would be busy if it were asked for each key alone. Where callers ask
/// one after the other it is 0, and nobody waits.
pub(super) struct Pace {
    longest: Duration,
    /// When the last query began.
    last: Option<Instant>,
    /// How many keys have come.
    came: u64,
    /// The mean number of keys that came while a query was out.
    meanwhile: f64,
}

impl Pace {
    /// With a longest pace of zero there is none.
    pub fn new(longest: Duration) -> Self {
        Self { longest, last: None, came: 0, meanwhile: 0.0 }
    }

    /// Keys came.
    pub fn came(&mut self, keys: usize) {
        self.came += keys as u64;
    }

    /// When the next query may begin. `None`: at once.
    pub fn next(&self) -> Option<Instant> {
        let pace = self.longest.mul_f64(self.meanwhile.min(1.0));
        Some(self.last? + pace.checked_sub(TIMER_BIAS)?)
    }

    /// A query begins. Returns what [`Pace::end`] needs.
    pub fn begin(&mut self, now: Instant) -> u64 {
        self.last = Some(now);
        self.came
    }

    /// A query is over, for which [`Pace::begin`] returned `came`.
    pub fn end(&mut self, came: u64) {
        let meanwhile = (self.came - came).min(MOST) as f64;
        self.meanwhile += (meanwhile - self.meanwhile) * WEIGHT;
    }
}
