//! Interleavings that need too many coincidences to be met by chance: written down, step by step,
//! on the real memory. The right program and the mutant are told the same.
//!
//! The first three are of a failover that lost the old primary's changes 6 to 9, and of an answer of the old
//! primary, as of 9, that lands while the feed looks at the new one.

use aka_core::clock::Boottime;
use aka_core::coherence::{Cache, Gather, Limits, Memory, Need, Outcome, PollEnd, SavedFilter};
use aka_core::domain::{
    Change, ClusterId, ForwardRow, Id, Key, Micros, Position, Project, ShardId,
};
use aka_core::domain::{Identity, Loaded, LogPage};
use aka_core::domain::{SlotSet, Stamp};
use aka_core::mutant::{self, Mutant};
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
        let script = Self::unborn();
        let first = script.memory.begin_poll(at(1));
        assert_eq!(script.memory.end_poll(&first, &script.seen(FORK, &[])), PollEnd::Complete(0));
        script
    }

    /// One that has not looked yet.
    fn unborn() -> Self {
        let cache = Arc::new(Cache::seeded(1 << 20, 1));
        let staleness = Duration::from_millis(STALENESS_MS);
        let limits = Limits { staleness, degraded: Duration::ZERO };
        let memory = Memory::new(cache.clone(), limits);
        let key = Key::new(Project::new(1).expect("a project"), id("bob"));
        Self { cache, memory, key }
    }

    fn seen(&self, at: Position, changes: &[Position]) -> LogPage {
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
        LogPage { identity, at, now: Micros(0), changes: changes.iter().map(change).collect() }
    }

    /// What the old primary says of the key.
    fn old_row(&self) -> Loaded {
        let (stamp, time) = (Stamp(0), Micros(0));
        let canonical = id("old");
        let row = ForwardRow { canonical, version: 9, stamp, created: time, updated: time };
        Loaded { at: OLD, now: time, rows: [(self.key.clone(), row)].into() }
    }

    /// A reader comes, and its key is sent to the old primary.
    fn send(&self, now: Boottime) -> aka_core::coherence::Batch {
        let need = Need { arrived: now, mark: None };
        let gather = Gather::new(1, Boottime::MAX);
        self.memory.join(&self.key, &need, &gather, 0);
        self.memory.send(vec![self.key.clone()], now)
    }

    /// The feed has seen the new primary's change.
    fn looked(&self, ahead: &aka_core::coherence::PendingPoll) {
        let end = self.memory.end_poll(ahead, &self.seen(NEW, &[FORK, NEW]));
        assert_eq!(end, PollEnd::Complete(1));
    }

    fn get(&self, arrived: Boottime, mark: Option<Position>) -> Option<String> {
        let id = self.key.id().as_bytes();
        let need = Need { arrived, mark };
        let found = self.memory.get(self.key.id_hash(), || self.cache.footprint(1, id), &need)?;
        found.canonical.map(|id| String::from_utf8_lossy(&id).into_owned())
    }
}

/// The look begins, on the new primary; a load is sent to the old one and read there; the old one
/// dies, and the key is changed on the new one; the load lands, ahead; the look's answer, which has the
/// change, comes.
fn overtaken() -> Script {
    let script = Script::new();
    let look = script.memory.begin_poll(at(10));
    let load = script.send(at(11));
    script.memory.land(load, &script.old_row());
    script.looked(&look);
    script
}

/// A client gets the token of the change, and reads with it.
fn read_with_token() -> Option<String> {
    let script = overtaken();
    script.get(at(20), Some(NEW))
}

#[test]
fn an_entry_ahead_of_the_feed_serves_no_token() {
    assert_eq!(read_with_token(), None, "it is read from the primary");
    mutant::set_thread_mutant(Some(Mutant::AheadServesToken));
    assert_eq!(read_with_token().as_deref(), Some("old"), "the mutant was not caught");
    mutant::set_thread_mutant(None);
}

/// A load is sent to the old primary and read there, which dies at 15; the look begins at 20, on the
/// new one; the load lands, ahead; the look ends. Who comes when the old primary is dead for longer
/// than the limit finds memory fresh: the look began later.
fn read_late() -> Option<String> {
    let script = Script::new();
    let load = script.send(at(10));
    let look = script.memory.begin_poll(at(20));
    script.memory.land(load, &script.old_row());
    script.looked(&look);
    script.get(at(15 + STALENESS_MS + 1), None)
}

#[test]
fn a_load_ahead_does_not_enter_if_a_look_began_since() {
    assert_eq!(read_late(), None, "it is read from the primary");
    mutant::set_thread_mutant(Some(Mutant::AheadEnters));
    assert_eq!(read_late().as_deref(), Some("old"), "the mutant was not caught");
    mutant::set_thread_mutant(None);
}

/// The change is a write of this instance, which the look has seen before the writer is told that it is
/// committed. Then it is acknowledged, and somebody reads.
fn read_own_write() -> Option<String> {
    let script = overtaken();
    script.memory.wrote(&script.key, NEW, true);
    script.get(at(20), None)
}

#[test]
fn a_write_drops_an_entry_that_is_ahead_of_the_feed() {
    assert_eq!(read_own_write(), None, "it is read from the primary");
    mutant::set_thread_mutant(Some(Mutant::WriteTrustsEntry));
    assert_eq!(read_own_write().as_deref(), Some("old"), "the mutant was not caught");
    mutant::set_thread_mutant(None);
}

/// A filter without the key is saved at the fork. When the process starts again the log holds `lines`; an
/// alias was made of the key at `made`. What memory says of the key then, if anything.
fn restored(lines: &[Position], made: Option<Position>) -> Option<Outcome> {
    let before = Script::new();
    let mut scan = before.memory.begin_filter(1).expect("a cursor is set");
    assert!(before.memory.add_filter_page(&mut scan, FORK, []));
    before.memory.end_filter(scan);
    let (mut saved, identity) = (Vec::new(), before.seen(FORK, &[]).identity);
    let image = before.memory.filter_image().expect("a filter that answers");
    image.write(&identity, &mut saved).expect("there is room");

    let clock = *lines.last().expect("a line");
    let mut look = before.seen(clock, lines);
    for change in look.changes.iter_mut().filter(|change| Some(change.at) != made) {
        change.alias = change.alias.sibling(id("somebody else"));
    }
    let now = Script::unborn();
    let first = now.memory.begin_poll(at(1));
    now.memory.end_poll(&first, &now.seen(clock, &[]));
    let saved = SavedFilter::read(&identity, saved.len() as u64, &mut saved.as_slice());
    let replay = now.memory.begin_replay(saved.expect("what was saved"));
    now.memory.replay(&mut replay.expect("a cursor is set"), &look);
    let need = Need { arrived: at(2), mark: None };
    let place = || now.cache.footprint(1, now.key.id().as_bytes());
    now.memory.get(now.key.id_hash(), place, &need).map(|found| found.outcome)
}

/// The same with the program made wrong: it says that the key is surely no alias.
fn misled(mutant: Mutant, lines: &[Position], made: Position) {
    assert_eq!(restored(lines, Some(made)), None, "it is read from the primary");
    mutant::set_thread_mutant(Some(mutant));
    let said = restored(lines, Some(made));
    mutant::set_thread_mutant(None);
    assert_eq!(said, Some(Outcome::Filtered), "the mutant was not caught");
}

#[test]
fn a_filter_goes_on_where_it_was_saved() {
    assert_eq!(restored(&[FORK, NEW], None), Some(Outcome::Filtered), "it is used");
    assert_eq!(restored(&[FORK, NEW], Some(NEW)), None, "it knows the new alias");
}

#[test]
fn a_filter_of_a_history_that_is_lost_is_not_used() {
    let instead = Position { nonce: FORK.nonce + 1, ..FORK };
    misled(Mutant::SnapshotIgnoresNonce, &[instead, NEW], instead);
}

#[test]
fn a_filter_from_before_the_log_begins_is_not_used() {
    let pruned = Position { seq: 6, nonce: 60 };
    misled(Mutant::SnapshotIgnoresPruning, &[Position { seq: 7, nonce: 70 }], pruned);
}
