//! Scripts: sequences of events that need too many coincidences to come up by chance. Each is
//! written down step by step, on the real memory. The right program and a mutant go through the
//! same steps.
//!
//! In the first three a failover lost the old primary's changes 6 to 9, and a load of the old
//! primary, as of seq 9, lands while the feed polls the new one.

use aka_core::clock::Boottime;
use aka_core::coherence::{
    Batch, Cache, FillSaved, Gather, Limits, Memory, Need, Outcome, PendingPage,
};
use aka_core::coherence::{PendingPoll, PollEnd, Replayed, SavedAliases, SavedFilter};
use aka_core::domain::{Change, Claim, ClusterId, ForwardRow, Id, Identity, Key, Loaded, LogPage};
use aka_core::domain::{Micros, Position, Project, ShardId, SlotSet, Stamp};
use aka_core::mutant::{self, CaughtBy, Mutant};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

const STALENESS_MS: u64 = 1_000;

/// The last change that both primaries have.
const FORK: Position = Position { seq: 5, nonce: 50 };
/// The newest change of the old primary.
const OLD: Position = Position { seq: 9, nonce: 90 };
/// The first change of the new primary.
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
    /// An instance that follows the shard up to the fork.
    fn new() -> Self {
        let script = Self::without_a_poll();
        let first = script.memory.begin_poll(at(1));
        assert_eq!(script.memory.end_poll(&first, &script.page(FORK, &[])), PollEnd::Complete(0));
        script
    }

    /// An instance that has not polled yet.
    fn without_a_poll() -> Self {
        let cache = Arc::new(Cache::seeded(1 << 20, 1));
        let staleness = Duration::from_millis(STALENESS_MS);
        let limits = Limits { staleness, degraded: Duration::ZERO };
        let memory = Memory::new(cache.clone(), limits);
        let key = Key::new(Project::new(1).expect("a project"), id("bob"));
        Self { cache, memory, key }
    }

    fn page(&self, at: Position, changes: &[Position]) -> LogPage {
        let change = |&at| Change {
            at,
            alias: self.key.clone(),
            old: None,
            new: Some(id("new")),
            time: Micros(0),
        };
        let slots = SlotSet::EMPTY;
        let (cluster, shard) = (ClusterId(1), ShardId(0));
        let identity = Identity {
            cluster,
            shard,
            shard_count: 1,
            slots,
            schema_version: 1,
            min_compatible_version: 1,
        };
        LogPage {
            identity,
            at,
            now: Micros(0),
            claim: Claim::SOLE,
            changes: changes.iter().map(change).collect(),
        }
    }

    /// The old primary's answer to a load of the key.
    fn old_row(&self) -> Loaded {
        let (stamp, time) = (Stamp(0), Micros(0));
        let canonical = id("old");
        let row = ForwardRow { canonical, version: 9, stamp, created: time, updated: time };
        Loaded { at: OLD, now: time, claim: Claim::SOLE, rows: [(self.key.clone(), row)].into() }
    }

    /// A reader comes, and a load is sent to the old primary.
    fn send(&self, now: Boottime) -> Batch {
        let need = Need { arrived: now, mark: None };
        let gather = Gather::new(1, Boottime::MAX);
        self.memory.join(&self.key, &need, &gather, 0);
        self.memory.send(vec![self.key.clone()], now)
    }

    /// The poll is answered with the new primary's change.
    fn end_poll(&self, poll: &PendingPoll) {
        let end = self.memory.end_poll(poll, &self.page(NEW, &[FORK, NEW]));
        assert_eq!(end, PollEnd::Complete(1));
    }

    fn get(&self, arrived: Boottime, mark: Option<Position>) -> Option<String> {
        let id = self.key.id().as_bytes();
        let need = Need { arrived, mark };
        let found = self.memory.get(self.key.id_hash(), || self.cache.footprint(1, id), &need)?;
        found.canonical.map(|id| String::from_utf8_lossy(&id).into_owned())
    }
}

/// 1. A poll begins on the new primary.
/// 2. A load is sent to the old primary and read there.
/// 3. The old primary dies, and the key is changed on the new one.
/// 4. The load lands. Its position is ahead of the cursor.
/// 5. The poll is answered with the change.
fn overtaken() -> Script {
    let script = Script::new();
    let poll = script.memory.begin_poll(at(10));
    let load = script.send(at(11));
    script.memory.land(load, &script.old_row(), at(12));
    script.end_poll(&poll);
    script
}

/// Then a client reads with the token of the change.
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

/// 1. At 10 a load is sent to the old primary and read there. The old primary dies at 15.
/// 2. At 20 a poll begins on the new primary.
/// 3. The load lands. Its position is ahead of the cursor.
/// 4. The poll is answered.
/// 5. A reader comes when the old primary has been dead for longer than the limit. Memory is fresh,
///    because the poll began later.
fn read_late() -> Option<String> {
    let script = Script::new();
    let load = script.send(at(10));
    let poll = script.memory.begin_poll(at(20));
    script.memory.land(load, &script.old_row(), at(12));
    script.end_poll(&poll);
    script.get(at(15 + STALENESS_MS + 1), None)
}

#[test]
fn a_load_ahead_does_not_enter_if_a_poll_began_since() {
    assert_eq!(read_late(), None, "it is read from the primary");
    mutant::set_thread_mutant(Some(Mutant::AheadEnters));
    assert_eq!(read_late().as_deref(), Some("old"), "the mutant was not caught");
    mutant::set_thread_mutant(None);
}

/// The change is a local write. The poll sees it before the writer learns that it is committed.
/// Then it is acknowledged, and a reader comes.
fn read_own_write() -> Option<String> {
    let script = overtaken();
    script.memory.note_local_write(&script.key, NEW, true);
    script.get(at(20), None)
}

#[test]
fn a_write_drops_an_entry_that_is_ahead_of_the_feed() {
    assert_eq!(read_own_write(), None, "it is read from the primary");
    mutant::set_thread_mutant(Some(Mutant::WriteTrustsEntry));
    assert_eq!(read_own_write().as_deref(), Some("old"), "the mutant was not caught");
    mutant::set_thread_mutant(None);
}

// ---- Rows that no reader asked for

/// Steps that end with what memory says of the key.
type Steps = fn() -> Option<String>;

/// A page of a scan brings the key as of `at`, from a server that says `claim` of itself.
fn fill(script: &Script, page: PendingPage, at: Position, claim: &Claim) {
    script.memory.fill(page, at, claim, [(&script.key, &id("old"))]);
}

/// As in [`read_late`], with a page of a scan in place of the load.
fn filled_late() -> Option<String> {
    let script = Script::new();
    let page = script.memory.begin_page();
    let poll = script.memory.begin_poll(at(20));
    fill(&script, page, OLD, &Claim::SOLE);
    script.end_poll(&poll);
    script.get(at(15 + STALENESS_MS + 1), None)
}

/// A load was sent before the page was asked for, and has read an earlier state.
fn filled_beside_load() -> Option<String> {
    let script = Script::new();
    let _load = script.send(at(10));
    fill(&script, script.memory.begin_page(), OLD, &Claim::SOLE);
    script.get(at(20), None)
}

/// A load from ahead of the cursor told its reader that the alias is deleted, and was not kept,
/// because a poll had begun. The page is as of the cursor.
fn filled_after_load() -> Option<String> {
    let script = Script::new();
    let load = script.send(at(10));
    script.memory.begin_poll(at(11));
    script.memory.land(load, &Loaded { rows: HashMap::new(), ..script.old_row() }, at(12));
    fill(&script, script.memory.begin_page(), FORK, &Claim::SOLE);
    script.get(at(20), None)
}

/// The history is given up while the page is read. The next one has the page's position too.
fn filled_from_before() -> Option<String> {
    let script = Script::new();
    let page = script.memory.begin_page();
    script.memory.contradicted("a script says so");
    let first = script.memory.begin_poll(at(10));
    script.memory.end_poll(&first, &script.page(FORK, &[]));
    fill(&script, page, FORK, &Claim::SOLE);
    script.get(at(20), None)
}

/// The primary was demoted before it answered.
fn filled_by_replica() -> Option<String> {
    let script = Script::new();
    let claim = Claim { takes_writes: false, ..Claim::SOLE };
    fill(&script, script.memory.begin_page(), FORK, &claim);
    script.get(at(20), None)
}

#[test]
fn a_scan_fills_the_cache() {
    let script = Script::new();
    fill(&script, script.memory.begin_page(), FORK, &Claim::SOLE);
    assert_eq!(script.get(at(20), None).as_deref(), Some("old"));
}

#[test]
fn what_no_reader_asked_for_enters_by_the_rules() {
    let scripts: [(Mutant, Steps); 7] = [
        (Mutant::FillAhead, filled_late),
        (Mutant::FillBesideLoad, filled_beside_load),
        (Mutant::FillIgnoresLoads, filled_after_load),
        (Mutant::FillOfAnyEpoch, filled_from_before),
        (Mutant::FillFromReplica, filled_by_replica),
        (Mutant::SavedNotUpdated, saved_and_changed),
        (Mutant::SavedAhead, saved_by_an_old_primary),
    ];
    for (mutant, script) in scripts {
        assert_eq!(script(), None, "it is read from the primary");
        mutant::set_thread_mutant(Some(mutant));
        let said = script();
        mutant::set_thread_mutant(None);
        assert_eq!(said.as_deref(), Some("old"), "{} was not caught", mutant.name());
    }
}

/// Saves a filter and the key as an alias, at the fork. Reads the snapshot in another process, which
/// follows the shard up to `cursor` and has begun a poll. Brings it up to date with `lines` of the
/// log, of which one may change the key. Returns the process, its poll and the aliases.
fn saved(
    cursor: Position,
    lines: &[Position],
    changed: Option<Position>,
) -> (Script, PendingPoll, SavedAliases) {
    let before = Script::new();
    let mut scan = before.memory.begin_filter(1).expect("a cursor is set");
    fill(&before, before.memory.begin_page(), FORK, &Claim::SOLE);
    assert!(before.memory.add_filter_page(&mut scan, FORK, [&before.key]));
    before.memory.end_filter(scan);
    let (mut bytes, identity) = (Vec::new(), before.page(FORK, &[]).identity);
    let image = before.memory.filter_image().expect("a filter that answers");
    image.write(&identity, &mut bytes).expect("there is room");

    let now = Script::without_a_poll();
    let first = now.memory.begin_poll(at(1));
    now.memory.end_poll(&first, &now.page(cursor, &[]));
    let poll = now.memory.begin_poll(at(20));
    let saved = SavedFilter::read(&identity, bytes.len() as u64, &mut bytes.as_slice());
    let replay = now.memory.begin_replay(saved.expect("what was saved"));
    let mut replay = replay.expect("a cursor is set");
    let mut page = now.page(*lines.last().expect("a line"), lines);
    for change in page.changes.iter_mut().filter(|change| Some(change.at) != changed) {
        change.alias = change.alias.sibling(id("somebody else"));
    }
    assert_eq!(now.memory.replay(&mut replay, &page), Replayed::Done);
    (now, poll, replay.into_aliases())
}

/// The key changed after the snapshot was taken.
fn saved_and_changed() -> Option<String> {
    let (script, _, mut aliases) = saved(NEW, &[FORK, NEW], Some(NEW));
    script.memory.fill_saved(&mut aliases, 9);
    script.get(at(21), None)
}

/// The log that the snapshot was brought up to date with is that of the old primary.
fn saved_by_an_old_primary() -> Option<String> {
    let lost = [6, 7, 8].map(|seq| Position { seq, nonce: seq });
    let (script, poll, mut aliases) = saved(FORK, &[&[FORK], &lost[..], &[OLD]].concat(), None);
    script.memory.fill_saved(&mut aliases, 9);
    script.end_poll(&poll);
    script.get(at(21), None)
}

#[test]
fn saved_aliases_fill_the_cache() {
    let (script, _, mut aliases) = saved(NEW, &[FORK, NEW], None);
    assert_eq!(script.memory.fill_saved(&mut aliases, 9), FillSaved::Filled(1));
    assert_eq!(script.get(at(21), None).as_deref(), Some("old"));
    assert_eq!(script.memory.fill_saved(&mut aliases, 9), FillSaved::Over);
}

/// A filter without the key is saved at the fork. When the process starts again, the log holds
/// `lines`, and the key became an alias at `made`. Returns what memory says about the key then, if
/// anything.
fn restored(lines: &[Position], made: Option<Position>) -> Option<Outcome> {
    let before = Script::new();
    let mut scan = before.memory.begin_filter(1).expect("a cursor is set");
    assert!(before.memory.add_filter_page(&mut scan, FORK, []));
    before.memory.end_filter(scan);
    let (mut saved, identity) = (Vec::new(), before.page(FORK, &[]).identity);
    let image = before.memory.filter_image().expect("a filter that answers");
    image.write(&identity, &mut saved).expect("there is room");

    let clock = *lines.last().expect("a line");
    let mut page = before.page(clock, lines);
    for change in page.changes.iter_mut().filter(|change| Some(change.at) != made) {
        change.alias = change.alias.sibling(id("somebody else"));
    }
    let now = Script::without_a_poll();
    let first = now.memory.begin_poll(at(1));
    now.memory.end_poll(&first, &now.page(clock, &[]));
    let saved = SavedFilter::read(&identity, saved.len() as u64, &mut saved.as_slice());
    let replay = now.memory.begin_replay(saved.expect("what was saved"));
    now.memory.replay(&mut replay.expect("a cursor is set"), &page);
    let need = Need { arrived: at(2), mark: None };
    let footprint = || now.cache.footprint(1, now.key.id().as_bytes());
    now.memory.get(now.key.id_hash(), footprint, &need).map(|found| found.outcome)
}

/// Checks that the right program does not answer from the filter, and that the mutant says wrongly
/// "surely not an alias".
fn misled(mutant: Mutant, lines: &[Position], made: Position) {
    assert_eq!(restored(lines, Some(made)), None, "it is read from the primary");
    mutant::set_thread_mutant(Some(mutant));
    let said = restored(lines, Some(made));
    mutant::set_thread_mutant(None);
    assert_eq!(said, Some(Outcome::Filtered), "the mutant was not caught");
}

#[test]
fn a_saved_filter_is_brought_up_to_date() {
    assert_eq!(restored(&[FORK, NEW], None), Some(Outcome::Filtered), "it is used");
    assert_eq!(restored(&[FORK, NEW], Some(NEW)), None, "it knows the new alias");
}

#[test]
fn a_saved_filter_of_a_lost_history_is_not_used() {
    let instead = Position { nonce: FORK.nonce + 1, ..FORK };
    misled(Mutant::SnapshotIgnoresNonce, &[instead, NEW], instead);
}

#[test]
fn a_saved_filter_from_before_the_log_is_not_used() {
    let pruned = Position { seq: 6, nonce: 60 };
    misled(Mutant::SnapshotIgnoresPruning, &[Position { seq: 7, nonce: 70 }], pruned);
}

#[test]
fn every_mutant_that_the_scripts_catch_is_in_this_file() {
    let mutants = Mutant::ALL.iter().copied();
    let said: Vec<_> = mutants.filter(|it| it.caught_by().contains(&CaughtBy::Scripts)).collect();
    let here = [
        Mutant::AheadEnters,
        Mutant::FillIgnoresLoads,
        Mutant::FillBesideLoad,
        Mutant::FillAhead,
        Mutant::FillOfAnyEpoch,
        Mutant::FillFromReplica,
        Mutant::SavedNotUpdated,
        Mutant::SavedAhead,
        Mutant::WriteTrustsEntry,
        Mutant::SnapshotIgnoresNonce,
        Mutant::SnapshotIgnoresPruning,
        Mutant::AheadServesToken,
    ];
    assert_eq!(said, here);
}
