//! The world: one queue of events, and a clock that jumps from each event to the next.

use crate::checker::{Answer, Checker};
use crate::client::Mark;
use crate::group::Group;
use crate::instance::{Instance, LANE, Request, Side, Task, WRITER};
use crate::model::{Micro, ShardModel, Value};
use crate::rng::Rng;
use crate::schedule::Schedule;
use crate::tasks::Phase;
use crate::trace::Trace;
use aka_core::clock::Boottime;
use aka_core::domain::{ClusterId, Id, Identity, Key, Project, ShardId, SlotSet};
use aka_core::mutant;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// The next operation of some client, or the next fault.
    Client,
    /// A reader that missed the cache joins a flight.
    Join {
        request: usize,
        life: u64,
    },
    Deadline {
        request: usize,
        life: u64,
    },
    /// The feed polls.
    Tick {
        instance: usize,
        life: u64,
        shard: usize,
    },
    /// The filter's task runs.
    Filter {
        instance: usize,
        life: u64,
        shard: usize,
    },
    /// A second failover, soon after the first.
    FailOver {
        shard: usize,
    },
    ShardConnection {
        at: CallRef,
        phase: Phase,
    },
    /// A commit is carried out although its writer has given up waiting.
    LateCommit {
        index: usize,
    },
}

/// A call on a shard connection of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallRef {
    pub instance: usize,
    pub shard: usize,
    /// Which of the instance's connections to the shard.
    pub connection: usize,
    pub number: u64,
}

pub struct World {
    pub now: Micro,
    pub rng: Rng,
    pub schedule: Schedule,
    pub shards: Vec<ShardModel>,
    pub instances: Vec<Instance>,
    /// The snapshots of each instance, by shard. They survive a restart.
    pub disks: Vec<Vec<Option<Vec<u8>>>>,
    pub checker: Checker,
    pub trace: Trace,
    pub keys: Vec<Key>,
    pub identity: Identity,
    /// The canonical ids that were used. A value is an index of this.
    pub values: Vec<Id>,
    pub requests: Vec<Option<Request>>,
    pub free: Vec<usize>,
    /// The tokens that clients got last.
    pub tokens: Vec<Mark>,
    pub late: Vec<(usize, usize, Vec<crate::instance::Write>)>,
    pub operations: u64,
    pub calls: u64,
    pub violation: Option<String>,
    /// When everything had settled after the last change. From then on every read must be answered.
    pub settled: Micro,
    events: BinaryHeap<Reverse<(Micro, u64, Event)>>,
    pushed: u64,
}

pub const CLUSTER: ClusterId = ClusterId(1);

impl World {
    pub fn new(seed: u64, operations: u64, print: bool) -> Self {
        let mut rng = Rng::new(seed);
        let schedule = Schedule::new(&mut rng, operations);
        let project = Project::new(1).expect("a project");
        let id = |n: usize| Id::try_from(format!("k{n}").as_str()).expect("an id");
        let instances =
            (0..schedule.instances).map(|_| Instance::new(&schedule, rng.next(), 0, 0)).collect();
        let Schedule { keys, shards, .. } = schedule;
        let mut world = Self {
            now: 0,
            checker: Checker::new(&schedule),
            shards: (0..shards).map(|_| ShardModel::new(keys)).collect(),
            keys: (0..keys).map(|n| Key::new(project, id(n))).collect(),
            identity: Identity {
                cluster: CLUSTER,
                shard: ShardId(0),
                shard_count: shards as u16,
                slots: SlotSet::EMPTY,
                schema_version: 1,
                min_compatible_version: 1,
            },
            disks: vec![vec![None; shards]; schedule.instances],
            instances,
            rng,
            schedule,
            trace: Trace::new(print),
            values: Vec::new(),
            requests: Vec::new(),
            free: Vec::new(),
            tokens: Vec::new(),
            late: Vec::new(),
            operations: 0,
            calls: 0,
            violation: None,
            settled: Micro::MAX,
            events: BinaryHeap::new(),
            pushed: 0,
        };
        (0..world.schedule.instances).for_each(|instance| world.start(instance));
        world.push(1, Event::Client);
        world
    }

    /// Runs until the clients have done all operations, and then until everything has settled.
    ///
    /// # Errors
    /// The first answer that breaks a promise.
    pub fn run(&mut self) -> Result<(), String> {
        while self.operations < self.schedule.operations {
            self.step()?;
        }
        self.run_until_settled()?;
        self.check_quiet()
    }

    /// Runs until every fault is over and only the next polls are due.
    pub fn run_until_settled(&mut self) -> Result<(), String> {
        let end = self.now + self.schedule.quiet_time();
        while self.now < end && !self.is_settled() {
            self.run_for(self.schedule.feed_interval)?;
        }
        Ok(())
    }

    fn is_settled(&self) -> bool {
        let over = |until: Micro| until <= self.now;
        let shards = |shard: &ShardModel| {
            let old = &shard.lines[..shard.primary()];
            let newest = over(shard.newest().born);
            newest && over(shard.away_until) && old.iter().all(|line| over(line.died))
        };
        // A poll that takes long may not know of a failover yet.
        let poll = Duration::from_micros(self.schedule.feed_interval + 8 * self.schedule.delay);
        let poll = match self.schedule.group {
            Group::Servers => poll * 2 + self.beat_interval(),
            _ => poll,
        };
        // A poll that began before the last change or failover has not seen it.
        let changed = |shard: &ShardModel| {
            let line = shard.newest();
            line.log.last().map_or(0, |change| change.time).max(line.born)
        };
        let last = self.shards.iter().map(changed).max().unwrap_or_default();
        let poll = poll.min(Duration::from_micros(self.now.saturating_sub(last)));
        let fresh = |instance: &Instance, side: &Side| {
            side.memory.freshness().age(instance.clock(self.now)).is_some_and(|age| age < poll)
        };
        let side = |(side, shard): (&Side, &ShardModel)| {
            let rest = &side.connections[WRITER..];
            over(side.feed_paused_until)
                && !side.stands_in
                && rest.iter().all(|connection| matches!(connection.task, Task::Idle))
                && side.connections[LANE..].iter().all(|lane| lane.serves)
                && side.memory.cursor() == Some(shard.newest().clock())
        };
        self.requests.iter().all(Option::is_none)
            && self.shards.iter().all(shards)
            && self.instances.iter().all(|instance| {
                over(instance.suspended_until)
                    && instance.sides.iter().zip(&self.shards).all(side)
                    && instance.sides.iter().all(|side| fresh(instance, side))
            })
    }

    pub fn run_for(&mut self, time: Micro) -> Result<(), String> {
        let end = self.now + time;
        while self.events.peek().is_some_and(|Reverse((at, ..))| *at <= end) {
            self.step()?;
        }
        self.now = end;
        Ok(())
    }

    pub fn quiet(&self) -> bool {
        self.operations >= self.schedule.operations
    }

    fn step(&mut self) -> Result<(), String> {
        let Some(Reverse((at, _, event))) = self.events.pop() else {
            return Err("nothing is left to happen".to_owned());
        };
        self.now = at;
        self.handle(event);
        self.violation.take().map_or(Ok(()), Err)
    }

    pub fn push(&mut self, delay: Micro, event: Event) {
        self.pushed += 1;
        self.events.push(Reverse((self.now + delay, self.pushed, event)));
    }

    pub fn delay(&mut self) -> Micro {
        let quiet = self.quiet();
        self.schedule.delay(&mut self.rng, quiet)
    }

    fn handle(&mut self, event: Event) {
        // The events of a suspended instance happen when it wakes.
        let instance = match event {
            Event::Client | Event::FailOver { .. } | Event::LateCommit { .. } => None,
            Event::ShardConnection { phase: Phase::Connect | Phase::Serve, .. } => None,
            Event::Join { request, .. } | Event::Deadline { request, .. } => {
                self.requests[request].as_ref().map(|request| request.instance)
            }
            Event::Tick { instance, .. } | Event::Filter { instance, .. } => Some(instance),
            Event::ShardConnection { at, .. } => Some(at.instance),
        };
        if let Some(instance) = instance {
            let wakes = self.instances[instance].suspended_until;
            if wakes > self.now {
                return self.push(wakes - self.now, event);
            }
        }
        match event {
            Event::Client => self.client(),
            Event::Join { request, life } => self.join(request, life),
            Event::Deadline { request, life } => self.deadline(request, life),
            Event::Tick { instance, life, shard } => self.tick(instance, life, shard),
            Event::Filter { instance, life, shard } => {
                self.look_after_filter(instance, life, shard);
            }
            Event::FailOver { shard } if !self.quiet() => {
                self.fail_over_in_group(shard, self.schedule.fault);
            }
            Event::FailOver { .. } => {}
            Event::ShardConnection { at, phase } => self.advance(at, phase),
            Event::LateCommit { index } => self.late_commit(index),
        }
    }

    /// Starts the tasks of a process, which has an empty memory.
    pub fn start(&mut self, instance: usize) {
        let life = self.instances[instance].life;
        for shard in 0..self.schedule.shards {
            self.push(0, Event::Tick { instance, life, shard });
            if self.schedule.filters {
                self.push(0, Event::Filter { instance, life, shard });
            }
            for connection in LANE..LANE + self.schedule.lanes {
                self.connect_lane(instance, shard, connection);
            }
        }
    }

    pub fn shard_of(&self, key: usize) -> usize {
        key % self.schedule.shards
    }

    pub fn side(&mut self, instance: usize, shard: usize) -> &mut Side {
        &mut self.instances[instance].sides[shard]
    }

    /// The time by the instance's clock.
    pub fn clock(&self, instance: usize) -> Boottime {
        let clock = self.instances[instance].clock(self.now);
        mutant::set_thread_time(clock);
        clock
    }

    /// Tells the checker of a new contradiction. Call it after every step that may have found one.
    pub fn note_contradictions(&mut self, instance: usize, shard: usize) {
        let side = &mut self.instances[instance].sides[shard];
        let count = side.memory.contradictions();
        if std::mem::replace(&mut side.contradictions, count) != count {
            let primary = self.shards[shard].leading(self.now);
            self.checker.gave_up(instance, shard, self.now, primary);
            self.note("gave up its history", &[instance as u64, shard as u64, count]);
        }
    }

    pub fn check(&mut self, answer: &Answer<'_>) {
        let number = answer.value.map_or(0, |value| u64::from(value) + 1);
        let Answer { instance, key, degraded, .. } = *answer;
        self.note("answer", &[instance as u64, key as u64, number, u64::from(degraded)]);
        if let Err(wrong) = self.checker.check(&self.shards[answer.shard].lines, answer) {
            self.violation.get_or_insert(wrong);
        }
    }

    pub fn note(&mut self, what: &'static str, numbers: &[u64]) {
        self.trace.note(self.now, what, numbers);
    }

    pub fn is_away(&self, shard: usize) -> bool {
        self.shards[shard].away_until > self.now
    }

    /// A canonical id that was not used before.
    pub fn new_value(&mut self) -> u32 {
        let number = self.values.len();
        self.values.push(Id::try_from(number.to_string().as_str()).expect("an id"));
        number as u32
    }

    pub fn value_id(&self, value: Value) -> Option<Id> {
        value.map(|number| self.values[number as usize].clone())
    }

    /// The value that a canonical id stands for.
    pub fn value_of(&self, canonical: Option<&[u8]>) -> Value {
        let digits = canonical?.iter();
        Some(digits.fold(0, |number, digit| number * 10 + u32::from(digit - b'0')))
    }
}

/// The index of a key in [`World::keys`], from its id.
pub fn key_index(key: &Key) -> usize {
    usize::from(key.id().as_bytes()[1] - b'0')
}
