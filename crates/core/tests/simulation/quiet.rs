//! The checks after the changes have stopped and all has settled: every memory follows the newest
//! primary and agrees with the tables (P4), and no reader waits.

use crate::checker::Bound;
use crate::client::Mark;
use crate::model::Micro;
use crate::world::World;
use aka_core::coherence::{Gather, Lookup, LookupFailure, Need};
use aka_core::domain::Position;

impl World {
    /// The time from which on every read must be answered.
    pub fn settled_at(&self) -> Micro {
        self.settled
    }

    pub fn check_quiet(&mut self) -> Result<(), String> {
        // The last commit of an old primary may have raised a fence above the clock. The next poll
        // notices that and begins a new epoch.
        self.run_for(2 * self.schedule.feed_interval + 8 * self.schedule.delay)?;
        self.run_until_settled()?;
        self.settled = self.now;
        for instance in 0..self.schedule.instances {
            for shard in 0..self.schedule.shards {
                let (memory, line) =
                    (&self.instances[instance].sides[shard].memory, self.shards[shard].newest());
                if memory.cursor() != Some(line.clock()) {
                    return Err(format!(
                        "instance {instance} does not follow shard {shard}: {:?}, not {:?}",
                        memory.cursor(),
                        line.clock()
                    ));
                }
            }
            self.entries_agree(instance)?;
        }
        // Each key is read three times: without a token, so that it is loaded; from memory; with a
        // token.
        self.now += 1;
        for round in 0..3 {
            for key in 0..self.schedule.keys {
                let shard = self.shard_of(key);
                let at = self.shards[shard].newest().clock();
                let marks = [Mark { shard, bound: Bound { at, time: 0 } }];
                let marks = &marks[..usize::from(round == 2)];
                (0..self.schedule.instances)
                    .for_each(|instance| self.read(instance, &[key], marks));
                // The queues are short, so one key at a time.
                self.run_for(8 * self.schedule.delay)?;
            }
            (0..self.schedule.instances).try_for_each(|instance| self.entries_agree(instance))?;
        }
        self.run_until_settled()?;
        self.nobody_waits()
    }

    /// Checks that memory answers every key as the tables do, or not at all.
    fn entries_agree(&self, instance: usize) -> Result<(), String> {
        for (index, key) in self.keys.iter().enumerate() {
            let shard = self.shard_of(index);
            let memory = &self.instances[instance].sides[shard].memory;
            let (cache, id) = (&self.instances[instance].cache, key.id().as_bytes());
            let need = Need { arrived: self.clock(instance), mark: None };
            let found = memory.get(key.id_hash(), || cache.footprint(1, id), &need);
            let last = memory.get_degraded(key, &need, need.arrived);
            for found in found.iter().chain(&last) {
                let value = self.value_of(found.canonical.as_deref());
                let table = self.shards[shard].newest().table[index];
                if value != table {
                    return Err(format!(
                        "instance {instance} remembers {value:?} of key {index}, \
                         the table says {table:?}"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Checks that no reader waits and that no flight is left over. A reader that memory cannot
    /// answer must start a flight, and not join one.
    fn nobody_waits(&mut self) -> Result<(), String> {
        if self.requests.iter().any(Option::is_some) {
            return Err("a reader was left waiting".to_owned());
        }
        for (instance, key) in self.each_key() {
            let shard = self.shard_of(key);
            let memory = &self.instances[instance].sides[shard].memory;
            let mark = Some(Position { seq: u64::MAX, nonce: 0 });
            let need = Need { arrived: self.clock(instance), mark };
            let gather = Gather::new(1, need.arrived);
            let key = &self.keys[key];
            if !matches!(memory.join(key, &need, &gather, 0), Lookup::Started) {
                return Err(format!("instance {instance} has a flight of {key:?} left over"));
            }
            memory.fail(std::slice::from_ref(key), LookupFailure::Unavailable);
        }
        Ok(())
    }

    fn each_key(&self) -> Vec<(usize, usize)> {
        let keys = 0..self.schedule.keys;
        let pairs = |instance| keys.clone().map(move |key| (instance, key));
        (0..self.schedule.instances).flat_map(pairs).collect()
    }
}
