//! The schedule: the parameters of a run, which its seed decides before the start. They say how
//! large everything is, how long things take, and which faults happen.

use crate::group::{self, Group};
use crate::model::Micro;
use crate::rng::Rng;
use aka_core::coherence::Sizes;

/// The parameters of one run. Everything is small, so that everything collides often.
pub struct Schedule {
    pub group: Group,
    pub instances: usize,
    pub shards: usize,
    pub keys: usize,
    pub lanes: usize,
    pub lane_batch: usize,
    pub lane_queue: usize,
    pub poll_limit: usize,
    pub write_batch: usize,
    pub sizes: Sizes,
    /// Whether there are filters. They answer in place of entries, so not every run has them.
    pub filters: bool,
    /// Whether the scans that fill filters fill the cache too.
    pub fills: bool,
    /// The staleness limit. With 0 no answer is given from memory.
    pub staleness: Micro,
    pub degraded: Micro,
    pub query_timeout: Micro,
    pub feed_interval: Micro,
    pub reconnect_pause: Micro,
    /// The longest time that most messages take.
    pub delay: Micro,
    /// How many of a thousand messages are much slower.
    pub slow: u64,
    /// The longest time between two operations of the clients.
    pub gap: Micro,
    /// How many of a thousand operations are faults.
    pub faults: u64,
    /// How many of a thousand operations of clients are writes.
    pub writes: u64,
    /// The kinds of faults. A seed has only some, so that each kind comes often.
    pub fault_kinds: Vec<Fault>,
    /// The longest time that a fault lasts.
    pub fault: Micro,
    /// How long a write is held while there is no primary.
    pub hold: Micro,
    pub operations: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    FailOver,
    Prune,
    Away,
    BreakConnection,
    PauseFeed,
    Suspend,
    PutClockForward,
    Restart,
}

const FAULTS: [Fault; 8] = [
    Fault::FailOver,
    Fault::Prune,
    Fault::Away,
    Fault::BreakConnection,
    Fault::PauseFeed,
    Fault::Suspend,
    Fault::PutClockForward,
    Fault::Restart,
];

const MILLI: Micro = 1_000;

impl Schedule {
    pub fn new(rng: &mut Rng, operations: u64) -> Self {
        let group = group::kind_of(rng);
        let staleness = rng.pick(&[0, 10, 20, 20, 50, 50, 100, 200]) * MILLI;
        // Beats are renewed a few times in this time.
        let staleness = if group == Group::None { staleness } else { staleness.max(100 * MILLI) };
        let query_timeout = rng.pick(&[30, 60, 100, 200]) * MILLI;
        Self {
            group,
            instances: rng.pick(&[1, 2, 2, 3]),
            shards: rng.pick(&[1, 1, 1, 2]),
            keys: rng.pick(&[1, 1, 2, 3, 5]),
            lanes: rng.pick(&[1, 2, 2, 3]),
            lane_batch: rng.pick(&[1, 2, 4]),
            lane_queue: rng.pick(&[2, 4, 8]),
            // A poll brings the change at the cursor too.
            poll_limit: rng.pick(&[2, 3, 4, 20]),
            write_batch: rng.pick(&[1, 2, 3]),
            sizes: Sizes {
                stripes: rng.pick(&[1, 1, 2, 4]),
                applied: rng.pick(&[1, 3, 10, 100]),
                ahead: rng.pick(&[2, 5, 100]),
                filter_keys: 64,
            },
            // A generator of its own, so that seeds without filters stay as they were before
            // filters existed.
            filters: Rng::new(rng.clone().next()).chance(250),
            fills: Rng::new(rng.clone().next() ^ 1).chance(500),
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
            hold: staleness * 2,
            operations,
        }
    }

    /// How long a message takes.
    pub fn delay(&self, rng: &mut Rng, quiet: bool) -> Micro {
        match rng.chance(self.slow) && !quiet {
            // It may be longer than the timeout.
            true => rng.below(self.query_timeout * 3 / 2) >> rng.below(4),
            false => rng.between(1, self.delay),
        }
    }

    /// How long everything may take to settle after the changes have stopped.
    pub fn quiet_time(&self) -> Micro {
        let cycle = self.query_timeout + self.reconnect_pause + self.feed_interval;
        2 * self.fault + self.staleness + 30 * cycle
    }
}

/// Each kind is in half of the seeds. Failovers are in most, because most rules are there for them.
fn fault_kinds(rng: &mut Rng) -> Vec<Fault> {
    let mut kinds: Vec<Fault> = FAULTS.into_iter().filter(|_| rng.chance(500)).collect();
    if kinds.is_empty() || rng.chance(500) {
        kinds.push(Fault::FailOver);
    }
    kinds
}
