//! Tests of snapshots, and of their replay by [`Memory`].

use super::{CHECKSUM, Fill, HEADER, SavedFilter, SnapshotFault};
use crate::clock::Boottime;
use crate::coherence::{Cache, CacheKey, Limits, Memory, Replayed, Sizes};
use crate::domain::{Change, Claim, ClusterId, Id, Identity, Key, LogPage, Micros};
use crate::domain::{Position, Project, ShardId, SlotSet};
use arbtest::arbtest;
use std::sync::Arc;
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_128;

const SAVED: Position = Position { seq: 5, nonce: 50 };

fn identity(shard: u16) -> Identity {
    let slots = SlotSet::even_share(shard, 2);
    let (cluster, shard) = (ClusterId(7), ShardId(shard));
    Identity { cluster, shard, shard_count: 2, slots, schema_version: 1, min_compatible_version: 1 }
}

fn key(number: u32) -> Key {
    let id = Id::try_from(format!("id-{number}").as_str()).expect("an id");
    Key::new(Project::new(1).expect("a project"), id)
}

/// The memory of an instance that follows the shard up to `at`.
fn memory(at: Position) -> Memory {
    let (staleness, degraded) = (Duration::from_secs(1), Duration::ZERO);
    let sizes = Sizes { filter_keys: 100, ..Sizes::default() };
    let cache = Arc::new(Cache::with_key(1 << 20, CacheKey([7; 16])));
    let memory = Memory::with_sizes(cache, Limits { staleness, degraded }, sizes);
    let poll = memory.begin_poll(Boottime::from_nanos(1));
    memory.end_poll(&poll, &page(at, &[]));
    memory
}

/// A page of the log. The line of seq n creates the alias number n.
fn page(at: Position, lines: &[Position]) -> LogPage {
    let change = |&at: &Position| Change {
        at,
        alias: key(at.seq as u32),
        old: None,
        new: Some(Id::try_from("somebody").expect("an id")),
        time: Micros(0),
    };
    let changes = lines.iter().map(change).collect();
    LogPage { identity: identity(0), at, now: Micros(0), claim: Claim::SOLE, changes }
}

/// A snapshot of the aliases 0 to 99, as of `SAVED`. The cache holds the first.
fn snapshot() -> Vec<u8> {
    let memory = memory(SAVED);
    let mut scan = memory.begin_filter(100).expect("a cursor is set");
    let keys: Vec<_> = (0..100).map(key).collect();
    assert!(memory.add_filter_page(&mut scan, SAVED, &keys));
    let canonical = Id::try_from("somebody").expect("an id");
    let row = [(&keys[0], &canonical)];
    assert_eq!(memory.fill(memory.begin_page(), SAVED, &Claim::SOLE, row), 1);
    memory.end_filter(scan);
    let mut bytes = Vec::new();
    let image = memory.filter_image().expect("a filter that answers");
    image.write(&identity(0), &mut bytes).expect("there is room");
    bytes
}

fn read(mut bytes: &[u8]) -> Result<SavedFilter, SnapshotFault> {
    SavedFilter::read(&identity(0), bytes.len() as u64, &mut bytes)
}

#[test]
fn a_written_snapshot_can_be_read() {
    let saved = read(&snapshot()).expect("it is whole");
    assert_eq!(saved.at, SAVED);
    assert_eq!(saved.filter.fill(), Fill { capacity: 125, keys: 100, dead: 0 });
    assert_eq!(saved.aliases.len(), 16 + 1 + "somebody".len());
    assert!((0..100).all(|number| saved.filter.may_hold(key(number).id_hash())));
    let perhaps = (100..1_100).filter(|&number| saved.filter.may_hold(key(number).id_hash()));
    assert!(perhaps.count() < 10);
}

/// Bytes that a disk spoils are found. If somebody makes the checksum fit, nothing worse comes of it
/// than a filter that is wrong.
#[test]
fn a_spoiled_snapshot_is_refused() {
    let whole = snapshot();
    arbtest(|random| {
        let mut bytes = whole.clone();
        for _ in 0..random.int_in_range(1..=4)? {
            // Mostly in the header, where the numbers are.
            let most = if random.arbitrary()? { bytes.len() } else { HEADER as usize };
            let at = random.choose_index(most)?;
            bytes[at] = random.arbitrary()?;
        }
        bytes.truncate(bytes.len() - random.choose_index(4)? * usize::from(random.ratio(1, 9)?));
        assert!(read(&bytes).is_err() || bytes == whole);
        let end = bytes.len() - CHECKSUM as usize;
        let sum = xxh3_128(&bytes[..end]).to_le_bytes();
        bytes[end..].copy_from_slice(&sum);
        let _ = read(&bytes);
        Ok(())
    })
    .size_max(1 << 8);
}

/// This program reads the files of other versions of itself. If the test fails, raise `VERSION`.
#[test]
fn the_format_does_not_change() {
    let sum = xxhash_rust::xxh3::xxh3_64(&snapshot());
    assert_eq!(format!("{sum:016x}"), "a2a5b5126442e1b5");
}

#[test]
fn a_damaged_snapshot_is_refused() {
    let whole = snapshot();
    for index in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[index] ^= 0x10;
        assert!(read(&damaged).is_err(), "byte {index}");
        assert!(read(&whole[..index]).is_err(), "cut off at {index}");
    }
    assert!(matches!(read(&[&whole[..], b"x"].concat()), Err(SnapshotFault::Damaged)));
    assert!(matches!(read(b"something else"), Err(SnapshotFault::Unknown)));
    let other = SavedFilter::read(&identity(1), whole.len() as u64, &mut &whole[..]);
    assert!(matches!(other, Err(SnapshotFault::Foreign)));
}

#[test]
fn a_snapshot_is_used_only_if_the_log_continues_it() {
    let at = |seq: u64| Position { seq, nonce: seq * 10 };
    let other = |seq: u64| Position { seq, nonce: seq * 10 + 1 };
    let more: Vec<_> = (5..=8).map(at).collect();
    let tried = |clock, lines: &[Position]| {
        let memory = memory(at(8));
        let saved = read(&snapshot()).expect("it is whole");
        let mut replay = memory.begin_replay(saved).expect("a cursor is set");
        assert_eq!(replay.next(), 5);
        let came = memory.replay(&mut replay, &page(clock, lines));
        (came, memory.filter().map(|filter| filter.len()), replay.next())
    };
    assert_eq!(tried(at(8), &more), (Replayed::Done, Some(100), 8));
    assert_eq!(tried(at(8), &more[..3]), (Replayed::More, None, 7));
    // The feed is not there yet.
    assert_eq!(tried(at(9), &[&more[..], &[at(9)]].concat()), (Replayed::Done, None, 9));
    let unfit = |clock, lines: &[Position]| {
        let (came, filter, _) = tried(clock, lines);
        assert_eq!(filter, None);
        matches!(came, Replayed::Unfit(_))
    };
    assert!(unfit(at(8), &[other(5), at(6), at(7), at(8)]), "a failover lost the position");
    assert!(unfit(at(8), &more[1..]), "pruned past it");
    assert!(unfit(at(8), &[at(5), at(7), at(8)]), "a gap");
    assert!(unfit(at(8), &more[..1]), "it ends before the clock");
    assert!(unfit(at(8), &[]), "nothing");
    // The page comes from a replica that lags behind, and from another history.
    assert_eq!(tried(at(7), &more[..3]), (Replayed::Over, None, 5));
    assert_eq!(tried(other(8), &more), (Replayed::Over, None, 5));
}
