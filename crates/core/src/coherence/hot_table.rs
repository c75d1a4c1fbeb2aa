//! The hot table: a compact table of recently used entries in front of moka.
//!
//! A lookup in moka takes up to a microsecond where there are many entries: it takes a lock, counts
//! the use, and misses the processor's cache several times. A lookup here reads eight bytes of tags
//! and the two lines of one cell. It writes only once for each entry, so threads share the table at no cost.
//!
//! Invariant: that of [`Cache`](super::Cache), of which the table is a part. Every call that
//! changes it is made under the lock of the key's stripe.

mod cell;
#[cfg(test)]
mod tests;

use super::entry::View;
use super::footprint::Footprint;
use crate::sync::Mutex;
use cell::{Cell, LONGEST, Ordering, WORDS, WRITES, Word, is_of, read_cell, write_cell};
use cell::{footprint_of, forget_use, is_used, mark_used};
use std::hint::black_box;

/// How many cells a set has. A key belongs to one set. In a table with as many cells as there are
/// keys, some keys find no room in their sets: more than a third with sets of one cell, a fifth
/// with four, a seventh with eight.
const WAYS: usize = 8;

/// The bytes that a cell takes, with its tag.
pub(super) const CELL_BYTES: u64 = 8 * WORDS as u64 + 1;

/// How many locks writers share. With this many, two threads hardly ever wait for each other.
const LOCKS: usize = 64;

/// The table. Its cells are divided into sets of [`WAYS`].
pub(super) struct HotTable {
    /// A byte of each cell's footprint, 0 for an empty cell. The tags of a set are one word. A
    /// lookup reads the tags first, so it reads a cell only if that is most likely the right one.
    tags: Box<[Word]>,
    cells: Box<[[Cell; WAYS]]>,
    /// Whoever writes the tags or the cells of a set holds the set's lock. It is taken after all
    /// other locks.
    locks: Box<[Mutex<()>]>,
    /// At which cell of a full set the search for one to replace begins. Taking turns is as good as
    /// a random choice.
    turn: Word,
    /// How many cells hold an entry.
    entries: Word,
}

/// The set of a key: its tags and its cells.
struct WaySet<'a> {
    index: usize,
    tags: &'a Word,
    cells: &'a [Cell; WAYS],
}

impl WaySet<'_> {
    /// The cells with this tag, lowest first.
    #[inline]
    fn ways(&self, tag: u8) -> impl Iterator<Item = usize> + use<> {
        ways_with(self.tags.load(Ordering::Acquire), tag)
    }

    fn way_of(&self, footprint: Footprint) -> Option<usize> {
        self.ways(tag(footprint)).find(|&way| is_of(&self.cells[way], footprint))
    }

    fn tag(&self, way: usize, tag: u8) {
        let mut tags = self.tags.load(Ordering::Relaxed).to_le_bytes();
        tags[way] = tag;
        self.tags.store(u64::from_le_bytes(tags), Ordering::Release);
    }
}

impl HotTable {
    /// A table of this many cells. Without cells it keeps nothing. The system gives it memory only
    /// as it fills.
    pub fn new(cells: u64) -> Self {
        let sets = cells as usize / WAYS;
        Self {
            tags: bytemuck::allocation::zeroed_slice_box(sets),
            cells: bytemuck::allocation::zeroed_slice_box(sets),
            locks: (0..LOCKS).map(|_| Mutex::default()).collect(),
            turn: Word::new(0),
            entries: Word::new(0),
        }
    }

    /// Calls `read` with the entry, if it is here. An entry that is being written is not found.
    #[inline]
    pub fn read<R>(&self, footprint: Footprint, read: impl FnOnce(View<'_>) -> R) -> Option<R> {
        let set = self.set(footprint)?;
        let mut id = [0; LONGEST];
        // Another key may have the same tag.
        let (way, copied) = set
            .ways(tag(footprint))
            .find_map(|way| Some((way, read_cell(&set.cells[way], footprint, &mut id)?)))?;
        mark_used(&set.cells[way], copied);
        Some(read(copied.view(&id)))
    }

    /// Calls `visit` with all entries that were asked for, or with all others, until it returns
    /// false. Returns whether all were visited. Entries that change meanwhile may be missing.
    pub fn visit(&self, used: bool, visit: &mut impl FnMut(Footprint, View<'_>) -> bool) -> bool {
        let mut id = [0; LONGEST];
        self.cells.iter().zip(&self.tags).all(|(cells, tags)| {
            let tags = tags.load(Ordering::Acquire).to_le_bytes();
            cells.iter().zip(tags).filter(|&(_, tag)| tag != 0).all(|(cell, _)| {
                let footprint = footprint_of(cell);
                match read_cell(cell, footprint, &mut id) {
                    Some(copied) if copied.was_used() == used => visit(footprint, copied.view(&id)),
                    _ => true,
                }
            })
        })
    }

    /// From now on no entry of this epoch counts as asked for. Each memory has epochs of its own.
    pub fn forget_uses(&self, epoch: u64) {
        for (cells, tags) in self.cells.iter().zip(&self.tags) {
            // An untouched cell has no memory yet.
            if tags.load(Ordering::Relaxed) != 0 {
                cells.iter().for_each(|cell| forget_use(cell, epoch));
            }
        }
    }

    /// Brings the memory that a read of this key needs into the processor's cache. Calls for many
    /// keys before the first read let their memory accesses overlap.
    #[inline]
    pub fn touch(&self, footprint: Footprint) {
        let Some(set) = self.set(footprint) else { return };
        if let Some(way) = set.ways(tag(footprint)).next() {
            // The results are not used, so nothing waits for these loads.
            black_box(set.cells[way][WRITES].load(Ordering::Relaxed));
            black_box(set.cells[way][WORDS - 1].load(Ordering::Relaxed));
        }
    }

    /// Whether there is an entry of this key.
    pub fn holds(&self, footprint: Footprint) -> bool {
        self.set(footprint).is_some_and(|set| set.way_of(footprint).is_some())
    }

    /// Keeps an entry. It replaces the older entry of the key, or, if the set is full, an entry of
    /// another key. An entry that is too long is not kept, and the older one is removed.
    pub fn put(&self, footprint: Footprint, entry: View<'_>) {
        self.write(footprint, Self::fits(entry).then_some(entry));
    }

    /// Keeps an entry of a key that has none, if its set has an empty cell. Returns false if not.
    pub fn fill(&self, footprint: Footprint, entry: View<'_>) -> bool {
        let Some(set) = self.set(footprint).filter(|_| Self::fits(entry)) else { return false };
        let _writing = self.locks[set.index % LOCKS].lock();
        let Some(way) = set.ways(0).next() else { return false };
        self.occupy(&set, way, footprint, entry, false);
        true
    }

    /// Writes an entry into a cell that was empty. The caller holds the set's lock.
    fn occupy(
        &self,
        set: &WaySet<'_>,
        way: usize,
        footprint: Footprint,
        entry: View<'_>,
        used: bool,
    ) {
        self.entries.fetch_add(1, Ordering::Relaxed);
        write_cell(&set.cells[way], footprint, entry, used);
        set.tag(way, tag(footprint));
    }

    /// Whether the entry is short enough to be kept.
    pub fn fits(entry: View<'_>) -> bool {
        entry.canonical.is_none_or(|id| id.len() <= LONGEST)
    }

    /// Removes the entry of this key.
    pub fn remove(&self, footprint: Footprint) {
        self.write(footprint, None);
    }

    fn write(&self, footprint: Footprint, entry: Option<View<'_>>) {
        let Some(set) = self.set(footprint) else { return };
        let _writing = self.locks[set.index % LOCKS].lock();
        let old = set.way_of(footprint);
        match (entry, old) {
            (Some(entry), Some(way)) => write_cell(&set.cells[way], footprint, entry, true),
            (Some(entry), None) => {
                if let Some(way) = set.ways(0).next() {
                    return self.occupy(&set, way, footprint, entry, true);
                }
                let way = self.least_useful(&set);
                write_cell(&set.cells[way], footprint, entry, true);
                set.tag(way, tag(footprint));
            }
            (None, Some(way)) => {
                self.entries.fetch_sub(1, Ordering::Relaxed);
                set.tag(way, 0);
            }
            (None, None) => {}
        }
    }

    /// The cell of a full set that is replaced next: one that nobody asked for, if there is one. So
    /// what was asked for displaces what came by a scan, and not the other way round.
    fn least_useful(&self, set: &WaySet<'_>) -> usize {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) as usize;
        let ways = (turn..turn + WAYS).map(|way| way % WAYS);
        ways.clone().find(|&way| !is_used(&set.cells[way])).unwrap_or(turn % WAYS)
    }

    #[inline]
    fn set(&self, footprint: Footprint) -> Option<WaySet<'_>> {
        // The high half of the check, scaled to the number of sets. The tag comes from the low
        // half.
        let index = (((footprint.check() >> 32) * self.cells.len() as u64) >> 32) as usize;
        let (tags, cells) = self.tags.get(index).zip(self.cells.get(index))?;
        Some(WaySet { index, tags, cells })
    }

    /// How many entries there are.
    pub fn len(&self) -> u64 {
        self.entries.load(Ordering::Relaxed)
    }
}

/// The tag of a key. It is never 0, which is the tag of an empty cell.
#[inline]
fn tag(footprint: Footprint) -> u8 {
    (footprint.check() as u8).max(1)
}

/// The places of the byte `tag` among eight bytes, lowest first. The comparison is exact. The usual
/// quicker one lets a carry run into the next byte, and finds bytes that are not there.
#[inline]
fn ways_with(tags: u64, tag: u8) -> impl Iterator<Item = usize> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const LOW: u64 = ONES * 0x7f;
    let different = tags ^ (ONES * u64::from(tag));
    // The top bit of each byte in which no bit is set.
    let mut same = !(((different & LOW) + LOW) | different | LOW);
    std::iter::from_fn(move || {
        let way = (same != 0).then(|| same.trailing_zeros() as usize / 8);
        same &= same.wrapping_sub(1);
        way
    })
}
