//! What a seed stands for: how large everything is, how long things take, and what goes wrong.

use crate::model::Micro;
use crate::rng::Rng;
use aka_core::coherence::Sizes;

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
    /// Whether there are filters: they take the place of entries, so not always.
    pub filters: bool,
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
    /// What goes wrong: some kinds of faults for each seed, so that they come thick.
    pub fault_kinds: Vec<Fault>,
    /// How long a fault lasts, at most.
    pub fault: Micro,
    pub operations: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    FailOver,
    Prune,
    Away,
    BreakLink,
    PauseFeed,
    Suspend,
    PutClockForward,
    Restart,
}

const FAULTS: [Fault; 8] = [
    Fault::FailOver,
    Fault::Prune,
    Fault::Away,
    Fault::BreakLink,
    Fault::PauseFeed,
    Fault::Suspend,
    Fault::PutClockForward,
    Fault::Restart,
];

const MILLI: Micro = 1_000;

impl Schedule {
    pub fn new(rng: &mut Rng, operations: u64) -> Self {
        let staleness = rng.pick(&[0, 10, 20, 20, 50, 50, 100, 200]) * MILLI;
        let query_timeout = rng.pick(&[30, 60, 100, 200]) * MILLI;
        Self {
            instances: rng.pick(&[1, 2, 2, 3]),
            shards: rng.pick(&[1, 1, 1, 2]),
            keys: rng.pick(&[1, 1, 2, 3, 5]),
            lanes: rng.pick(&[1, 2, 2, 3]),
            lane_batch: rng.pick(&[1, 2, 4]),
            lane_queue: rng.pick(&[2, 4, 8]),
            // A look brings the change at the cursor, too.
            look_limit: rng.pick(&[2, 3, 4, 20]),
            write_batch: rng.pick(&[1, 2, 3]),
            sizes: Sizes {
                stripes: rng.pick(&[1, 1, 2, 4]),
                applied: rng.pick(&[1, 3, 10, 100]),
                ahead: rng.pick(&[2, 5, 100]),
                filter_keys: 64,
            },
            // Drawn aside, so that a seed without filters is what it was before there were any.
            filters: Rng::new(rng.clone().next()).chance(250),
            staleness,
            degraded: if rng.chance(200) { 0 } else { staleness * 4 },
            query_timeout,
            feed_interval: rng.pick(&[2, 5, 10, 20, 30]) * MILLI,
            reconnect_pause: rng.pick(&[5, 10, 30]) * MILLI,
            delay: rng.pick(&[100, 500, 1_000, 3_000]),
            slow: rng.pick(&[0, 20, 100, 400]),
            gap: rng.pick(&[1_000, 2_000, 4_000, 8_000]),
            faults: rng.pick(&[0, 5, 20, 50]),
            fault_kinds: fault_kinds(rng),
            writes: rng.pick(&[50, 200, 400]),
            fault: staleness.max(20 * MILLI) * rng.pick(&[1, 2, 4]),
            operations,
        }
    }

    /// How long a message, or a database, takes.
    pub fn delay(&self, rng: &mut Rng, quiet: bool) -> Micro {
        match rng.chance(self.slow) && !quiet {
            // Beyond the timeout, too.
            true => rng.below(self.query_timeout * 3 / 2) >> rng.below(4),
            false => rng.between(1, self.delay),
        }
    }

    /// When the changes have stopped: by then everything must have settled, at the latest.
    pub fn quiet_time(&self) -> Micro {
        let cycle = self.query_timeout + self.reconnect_pause + self.feed_interval;
        2 * self.fault + self.staleness + 30 * cycle
    }
}

/// Each kind in half of the seeds; a failover in most, because most of the rules are there for it.
fn fault_kinds(rng: &mut Rng) -> Vec<Fault> {
    let mut kinds: Vec<Fault> = FAULTS.into_iter().filter(|_| rng.chance(500)).collect();
    if kinds.is_empty() || rng.chance(500) {
        kinds.push(Fault::FailOver);
    }
    kinds
}
