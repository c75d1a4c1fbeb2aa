//! The scene of all scenarios: one instance's memory of one shard, one key, and the shard's
//! primary. The calls are those of the lanes, the feed, the writer and the filter's task, in their
//! order.
//!
//! Every answer is checked. Before a reader comes, some seqs were acknowledged, applied by the
//! feed, or shown to other readers. The reader must be shown the state of the greatest of them, or
//! a later one.

use aka_core::clock::Boottime;
use aka_core::coherence::{Cache, Gather, Limits, Lookup, LookupFailure, Memory, Need, PollEnd};
use aka_core::coherence::{Replayed, SavedFilter, Sizes};
use aka_core::domain::{Change, Claim, ClusterId, ForwardRow, Id, Identity, Key, Loaded, LogPage};
use aka_core::domain::{Micros, Position, Project, ShardId, SlotSet, Stamp};
use aka_core::sync;
use shuttle::future::block_on;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The canonical id of the key; `None` if it is not an alias.
pub type Target = Option<&'static str>;

pub struct Scene {
    pub memory: Memory,
    cache: Arc<Cache>,
    key: Key,
    /// Each access is a step that the scheduler sees.
    primary: sync::Mutex<Primary>,
    /// The snapshot on disk.
    saved: Mutex<Vec<u8>>,
    /// The knowledge that answers are checked against. To take its lock is no step of the
    /// scheduler, and it is not held during a step.
    known: Mutex<Known>,
}

/// The changes of one history, from seq 1 on.
#[derive(Clone, Default)]
struct Primary {
    log: Vec<(Position, Target)>,
    history: u64,
    loads: usize,
}

#[derive(Clone, Copy, Default)]
struct Known {
    /// A reader that comes now must be shown the state of this seq, or a later one.
    seq: u64,
    history: u64,
    /// The last seq that survived the failover.
    kept: u64,
    /// Whether memory knows of the failover.
    told: bool,
}

/// The time. It stands still, because only the order of steps is explored.
fn now() -> Boottime {
    Boottime::from_nanos(1)
}

fn id(text: &str) -> Id {
    Id::try_from(text).expect("an id")
}

fn identity() -> Identity {
    let (cluster, shard, slots) = (ClusterId(1), ShardId(0), SlotSet::EMPTY);
    Identity { cluster, shard, shard_count: 1, slots, schema_version: 1, min_compatible_version: 1 }
}

impl Primary {
    fn at(&self) -> Position {
        self.log.last().expect("a first change").0
    }

    fn value(&self) -> Target {
        self.log.last().expect("a first change").1
    }

    fn change(&mut self, value: Target) -> Position {
        let seq = self.log.len() as u64 + 1;
        let at = Position { seq, nonce: 1_000 * self.history + seq };
        self.log.push((at, value));
        at
    }
}

impl Scene {
    /// An instance that follows the shard up to these changes of the key. It has no entry yet.
    pub fn new(changes: &[Target]) -> Arc<Self> {
        let cache = Arc::new(Cache::seeded(1 << 14, 1));
        let limits = Limits { staleness: Duration::from_secs(1), degraded: Duration::ZERO };
        let sizes = Sizes { stripes: 1, applied: 16, ahead: 16, filter_keys: 1 };
        let mut primary = Primary::default();
        for &value in changes {
            primary.change(value);
        }
        let scene = Self {
            memory: Memory::with_sizes(cache.clone(), limits, sizes),
            cache,
            key: Key::new(Project::new(1).expect("a project"), id("key")),
            primary: sync::Mutex::new(primary),
            saved: Mutex::default(),
            known: Mutex::default(),
        };
        scene.follow();
        Arc::new(scene)
    }

    // ---- the primary

    /// A write of another instance.
    pub fn change(&self, value: Target) -> Position {
        self.primary.lock().change(value)
    }

    /// The primary dies. All changes after `kept` are lost.
    pub fn fail_over(&self, kept: u64) {
        let mut primary = self.primary.lock();
        primary.log.truncate(kept as usize);
        primary.history += 1;
        let mut known = self.known();
        *known = Known { seq: known.seq.min(kept), history: primary.history, kept, told: false };
    }

    /// How many loads the primary has answered.
    pub fn loads(&self) -> usize {
        self.primary.lock().loads
    }

    // ---- the instance's tasks

    /// A write of this instance.
    pub fn write(&self, value: Target) {
        let at = self.change(value);
        let (alias, new) = (self.key.clone(), value.map(id));
        let change = Change { at, alias, old: None, new, time: Micros(0) };
        self.memory.committed(&[change], || self.knows(at));
    }

    /// The feed polls until it has applied all changes.
    pub fn follow(&self) {
        for _ in 0..10 {
            let poll = self.memory.begin_poll(now());
            let from = poll.cursor.map_or(u64::MAX, |cursor| cursor.seq);
            let page = self.log_page(from, usize::MAX);
            match self.memory.end_poll(&poll, &page) {
                PollEnd::Complete(_) => return self.knows(page.at),
                PollEnd::NewEpoch(_) | PollEnd::NotPrimary => self.is_told(),
                PollEnd::More(_) => {}
            }
        }
        panic!("the feed does not get to the end");
    }

    fn log_page(&self, from: u64, limit: usize) -> LogPage {
        let primary = self.primary.lock().clone();
        let changes = primary.log.iter().filter(|(at, _)| at.seq >= from).take(limit);
        let change = |&(at, value): &(Position, Target)| {
            let (alias, new) = (self.key.clone(), value.map(id));
            Change { at, alias, old: None, new, time: Micros(0) }
        };
        let changes = changes.map(change).collect();
        LogPage {
            identity: identity(),
            at: primary.at(),
            now: Micros(0),
            claim: Claim::SOLE,
            changes,
        }
    }

    /// A lane sends queries until nobody waits for the key.
    pub fn load(&self) {
        let mut keys = vec![self.key.clone()];
        while !keys.is_empty() {
            let batch = self.memory.send(keys, now());
            if batch.keys.is_empty() {
                return;
            }
            let loaded = self.ask_primary();
            keys = self.memory.land(batch, &loaded, now());
        }
    }

    fn ask_primary(&self) -> Loaded {
        let mut primary = self.primary.lock();
        primary.loads += 1;
        let (stamp, time) = (Stamp(0), Micros(0));
        let row = primary.value().map(|value| {
            let (canonical, version) = (id(value), primary.at().seq);
            (
                self.key.clone(),
                ForwardRow { canonical, version, stamp, created: time, updated: time },
            )
        });
        Loaded { at: primary.at(), now: time, claim: Claim::SOLE, rows: row.into_iter().collect() }
    }

    /// The filter's task scans the table, which is one page.
    pub fn scan(&self) {
        let Some(mut scan) = self.memory.begin_filter(1) else { return };
        let loaded = self.ask_primary();
        if self.memory.add_filter_page(&mut scan, loaded.at, loaded.rows.keys()) {
            self.memory.end_filter(scan);
        }
    }

    /// The filter's task saves the filter.
    pub fn save(&self) {
        let Some(image) = self.memory.filter_image() else { return };
        let mut bytes = Vec::new();
        image.write(&identity(), &mut bytes).expect("there is room");
        *self.saved.lock().expect("no check has failed") = bytes;
    }

    /// The filter's task restores the saved filter. Each page of the log has the known line and the
    /// next one, if there is one.
    pub fn restore(&self) {
        let bytes = self.saved.lock().expect("no check has failed").clone();
        let saved = SavedFilter::read(&identity(), bytes.len() as u64, &mut bytes.as_slice());
        let saved = saved.expect("what was saved");
        let Some(mut replay) = self.memory.begin_replay(saved) else { return };
        loop {
            let page = self.log_page(replay.next(), 2);
            if self.memory.replay(&mut replay, &page) != Replayed::More {
                return;
            }
        }
    }

    /// Memory learns of the failover.
    pub fn contradict(&self) {
        self.memory.contradicted("a test says so");
        self.is_told();
    }

    // ---- readers

    /// A reader reads the key and checks the answer. If it starts a flight, it does the lane's work
    /// too.
    pub fn read(&self) {
        self.read_with(None);
    }

    pub fn read_with(&self, token: Option<Position>) {
        let came = *self.known();
        let shown = self.ask(token);
        let log = self.primary.lock().log.clone();
        let mut known = self.known();
        let shown = match shown {
            Ok(shown) => shown,
            Err(failure) if known.history > 0 => {
                assert_eq!(failure, LookupFailure::Unavailable);
                return;
            }
            Err(failure) => panic!("{failure:?}, though all is well"),
        };
        let mut least = came.seq.max(token.map_or(0, |at| at.seq));
        if came.history != known.history {
            least = least.min(known.kept);
        }
        let state =
            |&&(at, value): &&(Position, Target)| at.seq >= least && value == shown.as_deref();
        match log.iter().find(state) {
            Some((at, _)) => known.seq = known.seq.max(at.seq),
            // A lost change may be shown to a reader that came before memory knew of the failover.
            None if known.history > 0 && !(came.told && came.history == known.history) => {}
            None => {
                panic!("too old: shown {shown:?}, must be as of seq {least} or later of {log:?}")
            }
        }
    }

    fn ask(&self, mark: Option<Position>) -> Result<Option<String>, LookupFailure> {
        let need = Need { arrived: now(), mark };
        let text = self.key.id().as_bytes();
        let found =
            match self.memory.get(self.key.id_hash(), || self.cache.footprint(1, text), &need) {
                Some(found) => found,
                None => {
                    let gather = Gather::new(1, Boottime::MAX);
                    match self.memory.join(&self.key, &need, &gather, 0) {
                        Lookup::Found(found) => found,
                        started => {
                            if let Lookup::Started = started {
                                self.load();
                            }
                            block_on(gather.complete());
                            let mut answers = gather.take();
                            assert_eq!(answers.len(), 1, "each is answered once");
                            answers.remove(0).1?
                        }
                    }
                }
            };
        Ok(found.canonical.map(|id| String::from_utf8_lossy(&id).into_owned()))
    }

    /// A reader comes and leaves at once. Returns whether it started a flight, which needs a lane.
    pub fn come_and_leave(&self) -> bool {
        let gather = Gather::new(1, Boottime::MAX);
        let need = Need { arrived: now(), mark: None };
        let lookup = self.memory.join(&self.key, &need, &gather, 0);
        gather.leave();
        matches!(lookup, Lookup::Started)
    }

    // ---- checks

    /// The checks after all threads have ended. The feed applies the remaining changes. Then memory
    /// must agree with the primary (P4), and no flight may be left over.
    pub fn is_quiet(&self) {
        self.follow();
        self.read();
        let recalled = self.memory.recall(&self.key).expect("an answer that is kept");
        let value = self.primary.lock().value();
        assert_eq!(recalled.canonical.as_deref(), value.map(str::as_bytes), "a stale entry stays");
        self.cache.evict(&self.key);
        if self.memory.recall(&self.key).is_none() {
            assert!(self.come_and_leave(), "a flight is left over");
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().expect("no check has failed")
    }

    /// Readers that come from now on must see the state of this position.
    fn knows(&self, at: Position) {
        let mut known = self.known();
        if at.nonce / 1_000 == known.history {
            known.seq = known.seq.max(at.seq);
            known.told = true;
        }
    }

    fn is_told(&self) {
        let mut known = self.known();
        known.told = known.history > 0;
    }
}
