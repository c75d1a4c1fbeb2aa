//! What a seed stands for: how large everything is, how long things take, and what goes wrong.

use crate::model::Micro;
use crate::rng::Rng;
use aka::coherence::Sizes;

/// Everything is small, so that everything collides often.
pub struct Schedule {
    pub instances: usize,
    pub shards: usize,
    pub keys: usize,
    pub lanes: usize,
    pub lane_batch: usize,
    pub lane_queue: usize,
    pub look_limit: usize,
    pub write_batch: usize,
    pub sizes: Sizes,
    /// 0: no answer is given from memory.
    pub staleness: Micro,
    pub degraded: Micro,
    pub query_timeout: Micro,
    pub feed_interval: Micro,
    pub reconnect_pause: Micro,
    /// What a message takes, mostly.
    pub delay: Micro,
    /// Of a thousand messages so many take very long.
    pub slow: u64,
    /// Between two operations of the clients, at most.
    pub gap: Micro,
    /// Of a thousand operations so many are faults.
    pub faults: u64,
    /// Of a thousand operations of clients so many are writes.
    pub writes: u64,
    /// How long a fault lasts, at most.
    pub fault: Micro,
    pub operations: u64,
}

const MILLI: Micro = 1_000;

impl Schedule {
    pub fn new(rng: &mut Rng, operations: u64) -> Self {
        let staleness = rng.pick(&[0, 20, 50, 50, 100, 100, 200]) * MILLI;
        let query_timeout = rng.pick(&[30, 60, 100, 200]) * MILLI;
        Self {
            instances: rng.pick(&[1, 2, 2, 3]),
            shards: rng.pick(&[1, 1, 1, 2]),
            keys: rng.pick(&[2, 3, 4, 5]),
            lanes: rng.pick(&[1, 2, 2, 3]),
            lane_batch: rng.pick(&[1, 2, 4]),
            lane_queue: rng.pick(&[2, 4, 8]),
            look_limit: rng.pick(&[1, 2, 3, 10]).max(2),
            write_batch: rng.pick(&[1, 2, 3]),
            sizes: Sizes {
                stripes: rng.pick(&[1, 1, 2, 4]),
                applied: rng.pick(&[1, 3, 10, 100]),
                ahead: rng.pick(&[2, 5, 100]),
            },
            staleness,
            degraded: if rng.chance(200) { 0 } else { staleness * 4 },
            query_timeout,
            feed_interval: rng.pick(&[2, 5, 10, 20]) * MILLI,
            reconnect_pause: rng.pick(&[5, 10, 30]) * MILLI,
            delay: rng.pick(&[100, 500, 1_000, 3_000]),
            slow: rng.pick(&[0, 20, 50, 150]),
            gap: rng.pick(&[1, 2, 4, 8]) * MILLI,
            faults: rng.pick(&[0, 5, 20, 50]),
            writes: rng.pick(&[50, 200, 400]),
            fault: staleness.max(20 * MILLI) * rng.pick(&[1, 2, 4]),
            operations,
        }
    }

    /// How long a message, or a database, takes.
    pub fn delay(&self, rng: &mut Rng, quiet: bool) -> Micro {
        match rng.chance(self.slow) && !quiet {
            // Beyond the timeout, too.
            true => rng.below(self.query_timeout * 3 / 2),
            false => rng.between(1, self.delay),
        }
    }

    /// When the changes have stopped: by then everything must have settled.
    pub fn quiet_time(&self) -> Micro {
        let cycle = self.query_timeout + self.reconnect_pause + self.feed_interval;
        2 * self.fault + self.staleness + 12 * cycle
    }
}
