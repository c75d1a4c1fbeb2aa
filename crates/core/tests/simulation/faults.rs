//! The faults: failovers, pruning, broken connections, pauses, clocks that jump, restarts.

use crate::group::Group;
use crate::instance::{Instance, LANE, Task, Write, WriteKind};
use crate::model::Micro;
use crate::rng::Rng;
use crate::schedule::Fault;
use crate::world::{CallRef, World, key_index};

impl World {
    pub fn fault(&mut self) {
        let shard = self.rng.index(self.schedule.shards);
        let instance = self.rng.index(self.schedule.instances);
        // Most faults are short.
        let longest = self.schedule.fault >> self.rng.below(5);
        let (now, time) = (self.now, self.rng.between(1, longest));
        match self.rng.pick(&self.schedule.fault_kinds) {
            Fault::FailOver => self.fail_over(shard, time),
            Fault::Prune => {
                if self.rng.chance(500) {
                    self.burst(shard, 1);
                }
                let line = self.shards[shard].newest();
                let (kept, seq) = (line.kept_from, line.seq());
                let below = match self.rng.chance(500) {
                    true => seq,
                    false => self.rng.between(kept, seq.max(kept)),
                };
                self.shards[shard].prune(below);
                self.note("pruned", &[shard as u64, below]);
            }
            Fault::Away => {
                self.shards[shard].away_until = now + time;
                self.note("away", &[shard as u64, time]);
            }
            Fault::BreakConnection => {
                let connection = self.rng.index(LANE + self.schedule.lanes);
                self.side(instance, shard).connections[connection].broken = true;
                self.note(
                    "a connection breaks",
                    &[instance as u64, shard as u64, connection as u64],
                );
            }
            Fault::PauseFeed => {
                self.side(instance, shard).feed_paused_until = now + time;
                self.note("the feed pauses", &[instance as u64, shard as u64, time]);
            }
            Fault::Suspend => {
                self.instances[instance].suspended_until = now + time;
                self.note("suspended", &[instance as u64, time]);
            }
            Fault::PutClockForward => {
                self.instances[instance].ahead += time;
                self.note("the clock jumps", &[instance as u64, time]);
            }
            Fault::Restart => self.restart(instance),
        }
    }

    /// Uses the worst moment of a load: its snapshot was taken, and its answer is on its way.
    /// Sometimes the key changes now, or the primary fails. Returns how much longer the answer then
    /// takes.
    pub fn bad_moment(&mut self, at: CallRef) -> Micro {
        let Task::Load(batch, _) =
            &self.instances[at.instance].sides[at.shard].connections[at.connection].task
        else {
            return 0;
        };
        let key = batch.keys.first().map_or(0, key_index);
        let fails = self.schedule.fault_kinds.contains(&Fault::FailOver);
        if self.quiet() {
            return 0;
        }
        if fails && self.rng.chance(self.schedule.faults / 2) {
            self.fail_over(at.shard, self.schedule.delay);
        } else if self.rng.chance(20) {
            let writer = self.rng.index(self.schedule.instances);
            self.write(writer, key);
        } else {
            return 0;
        }
        self.rng.below(2 * self.schedule.feed_interval)
    }

    fn fail_over(&mut self, shard: usize, time: Micro) {
        if self.schedule.group != Group::None {
            return self.fail_over_in_group(shard, time);
        }
        let lost = self.rng.pick(&[0, 1, 1, 2, 3, 6]);
        let lives = match self.rng.below(4) {
            0 | 1 => 0,
            2 => self.rng.below(self.schedule.delay * 8),
            _ => time,
        };
        self.shards[shard].fail_over(lost, self.now, self.now + lives);
        if lives > 0 {
            // Some connections are cut at once. Then some lead to the old primary and some to the
            // new one.
            for instance in 0..self.schedule.instances {
                for connection in 0..LANE + self.schedule.lanes {
                    let cut = self.rng.chance(500);
                    self.side(instance, shard).connections[connection].broken |= cut;
                }
            }
        }
        if self.rng.chance(400) {
            // The new history catches up with the old one before any poll.
            self.burst(shard, lost + 1);
        }
        self.note("failover", &[shard as u64, lost, lives]);
    }

    /// Other instances change some keys at once, and the feeds are delayed a little.
    pub fn burst(&mut self, shard: usize, least: u64) {
        for instance in 0..self.schedule.instances {
            let wait = self.rng.below(2 * self.schedule.feed_interval);
            self.side(instance, shard).feed_paused_until = self.now + wait;
        }
        let count = least + self.rng.below(3);
        let primary = self.shards[shard].primary();
        if !self.shards[shard].newest().can_commit(self.now) {
            return;
        }
        for _ in 0..count {
            let key = self.rng.index(self.schedule.keys);
            if self.shard_of(key) != shard {
                continue;
            }
            let is_alias = self.shards[shard].newest().table[key].is_some();
            let kind = match is_alias {
                true if self.rng.chance(300) => WriteKind::Delete,
                true => WriteKind::Update(self.new_value()),
                false => WriteKind::Create(self.new_value()),
            };
            self.calls += 1;
            let write = Write { key, kind, id: self.calls, until: self.now };
            self.commit(shard, primary, &[write]);
        }
    }

    fn restart(&mut self, instance: usize) {
        self.note("restarted", &[instance as u64]);
        // A process that stops in order saves its filters, and one that is killed does not. A
        // generator of its own decides, so that the other draws stay as they are.
        if Rng::new(self.rng.clone().next()).chance(300) {
            (0..self.schedule.shards).for_each(|shard| self.save_filter(instance, shard));
        }
        for index in std::mem::take(&mut self.instances[instance].waiting) {
            self.requests[index] = None;
            self.free.push(index);
        }
        self.checker.started(instance, self.now);
        let (life, ahead) = (self.instances[instance].life + 1, self.instances[instance].ahead);
        // Other draws stay as they are. The key of the cache outlives a process, as its snapshots do.
        self.rng.next();
        let seed = self.instances[instance].seed;
        self.instances[instance] = Instance::new(&self.schedule, seed, life, ahead);
        self.start(instance);
    }
}
