//! Two interleavings that need too many coincidences to be met by chance: written down, step by step,
//! on the real memory. The right program and the mutant are told the same.
//!
//! Both are of a failover that lost the old primary's changes 6 to 9, and of an answer of the old
//! primary, as of 9, that lands while the feed looks at the new one.

use aka::clock::Boottime;
use aka::coherence::{Cache, Gather, Limits, LookEnd, Memory, Need};
use aka::domain::{Change, ClusterId, ForwardRow, Id, Key, Micros, Position, Project, ShardId};
use aka::domain::{SlotSet, Stamp};
use aka::hooks;
use aka::store::{Identity, Loaded, Look};
use std::sync::Arc;
use std::time::Duration;

const STALENESS_MS: u64 = 1_000;

/// Both primaries know it.
const FORK: Position = Position { seq: 5, nonce: 50 };
/// The newest change of the old primary.
const OLD: Position = Position { seq: 9, nonce: 90 };
/// The first change of the new one, after the old one has died.
const NEW: Position = Position { seq: 6, nonce: 61 };

fn at(ms: u64) -> Boottime {
    Boottime::from_nanos(ms * 1_000_000)
}

fn id(text: &str) -> Id {
    Id::try_from(text).expect("an id")
}

struct Script {
    cache: Arc<Cache>,
    memory: Memory,
    key: Key,
}

impl Script {
    /// An instance that follows the shard, up to the fork.
    fn new() -> Self {
        let cache = Arc::new(Cache::seeded(1 << 20, 1));
        let staleness = Duration::from_millis(STALENESS_MS);
        let limits = Limits { staleness, degraded: Duration::ZERO };
        let memory = Memory::new(cache.clone(), limits);
        let key = Key::new(Project::new(1).expect("a project"), id("bob"));
        let script = Self { cache, memory, key };
        let first = script.memory.look(at(1));
        assert_eq!(script.memory.looked(&first, &script.seen(FORK, &[])), LookEnd::Complete(0));
        script
    }

    fn seen(&self, at: Position, changes: &[Position]) -> Look {
        let change = |&at| Change {
            at,
            alias: self.key.clone(),
            old: None,
            new: Some(id("new")),
            time: Micros(0),
        };
        let slots = SlotSet::EMPTY;
        let (cluster, shard) = (ClusterId(1), ShardId(0));
        let identity = Identity { cluster, shard, shard_count: 1, slots, schema_version: 1 };
        Look { identity, at, now: Micros(0), changes: changes.iter().map(change).collect() }
    }

    /// What the old primary says of the key.
    fn old_row(&self) -> Loaded {
        let (stamp, time) = (Stamp(0), Micros(0));
        let canonical = id("old");
        let row = ForwardRow { canonical, version: 9, stamp, created: time, updated: time };
        Loaded { at: OLD, now: time, rows: [(self.key.clone(), row)].into() }
    }

    /// A reader comes, and its key is sent to the old primary.
    fn send(&self, now: Boottime) -> aka::coherence::Batch {
        let need = Need { arrived: now, mark: None };
        let gather = Gather::new(1, Boottime::MAX);
        self.memory.join(&self.key, &need, &gather, 0);
        self.memory.send(vec![self.key.clone()], now)
    }

    /// The feed has seen the new primary's change.
    fn looked(&self, ahead: &aka::coherence::LookAhead) {
        let end = self.memory.looked(ahead, &self.seen(NEW, &[FORK, NEW]));
        assert_eq!(end, LookEnd::Complete(1));
    }

    fn get(&self, arrived: Boottime, mark: Option<Position>) -> Option<String> {
        let id = self.key.id().as_bytes();
        let need = Need { arrived, mark };
        let found = self.memory.get(self.key.id_hash(), || self.cache.footprint(1, id), &need)?;
        found.canonical.map(|id| String::from_utf8_lossy(&id).into_owned())
    }
}

/// The look begins, on the new primary; a load is sent to the old one and read there; the old one
/// dies, the key is changed on the new one, whose token a client gets; the load lands, ahead; the
/// look's answer, which has the change, comes.
fn read_with_token() -> Option<String> {
    let script = Script::new();
    let look = script.memory.look(at(10));
    let load = script.send(at(11));
    script.memory.land(load, &script.old_row());
    script.looked(&look);
    script.get(at(20), Some(NEW))
}

#[test]
fn an_entry_ahead_of_the_feed_serves_no_token() {
    assert_eq!(read_with_token(), None, "it is read from the primary");
    hooks::set_thread_mutant("ahead_serves_token");
    assert_eq!(read_with_token().as_deref(), Some("old"), "the mutant was not caught");
    hooks::set_thread_mutant("");
}

/// A load is sent to the old primary and read there, which dies at 15; the look begins at 20, on the
/// new one; the load lands, ahead; the look ends. Who comes when the old primary is dead for longer
/// than the limit finds memory fresh: the look began later.
fn read_late() -> Option<String> {
    let script = Script::new();
    let load = script.send(at(10));
    let look = script.memory.look(at(20));
    script.memory.land(load, &script.old_row());
    script.looked(&look);
    script.get(at(15 + STALENESS_MS + 1), None)
}

#[test]
fn a_load_ahead_does_not_enter_if_a_look_began_since() {
    assert_eq!(read_late(), None, "it is read from the primary");
    hooks::set_thread_mutant("ahead_enters");
    assert_eq!(read_late().as_deref(), Some("old"), "the mutant was not caught");
    hooks::set_thread_mutant("");
}
