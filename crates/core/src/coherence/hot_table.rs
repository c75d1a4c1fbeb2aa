//! A compact table in front of moka: the entries that were asked for lately, each in two lines of the
//! processor's cache, with its canonical id.
//!
//! A look into moka costs up to a microsecond where there are many entries: it takes a lock of its own,
//! counts the use, and misses the processor's cache several times. Here it is eight bytes of tags and the
//! two lines. Readers write nothing, so threads share the table at no cost.
//!
//! It is as dumb as the cache behind it: every call that changes it is made under the lock of the key's
//! stripe.

use super::entry::View;
use super::footprint::Footprint;
use crate::sync::Mutex;
use std::hint::black_box;
// What is read without a lock is protected by a count of writes, not by the order of each word.
use std::sync::atomic::{AtomicU64 as Word, Ordering, fence};

/// Places that a key may take. Keys meet by chance: of as many keys as there are slots, a table with one
/// place for each lacks more than a third, with four a fifth, with eight a seventh.
pub(super) const WAYS: usize = 8;

/// Words of a slot, and those of them that hold the canonical id.
const WORDS: usize = 16;
const ID_WORDS: usize = 10;

/// The longest canonical id that is kept, in bytes: what is left of two lines of the processor's cache.
pub(super) const LONGEST: usize = 8 * ID_WORDS;

/// What a slot takes, in bytes, with its tag.
pub(super) const SLOT_BYTES: u64 = 8 * WORDS as u64 + 1;

/// Locks for those who write, each for many sets: enough that two threads hardly ever meet.
const LOCKS: usize = 64;

/// What the word of an alias begins with, beside the length of its canonical id in the lowest byte and
/// the epoch above.
const IS_ALIAS: u64 = 1 << 8;
const EPOCH_SHIFT: u32 = 9;

/// A slot. A sequence lock keeps an entry whole: who writes makes the count of writes odd meanwhile, and
/// who finds it odd, or changed after reading, has read nothing. All of it is in words that are atomic,
/// each for itself, so no such reading is undefined. (After H.-J. Boehm, "Can Seqlocks Get Along With
/// Programming Language Memory Models?", 2012.)
///
/// It is an array, and no struct, so that a table of zeros can be had without touching it.
type Slot = [Word; WORDS];

// What the words are. A slot without an entry has a tag of 0 and is never looked at.
const WRITES: usize = 0;
const HASH: usize = 1;
const CHECK: usize = 2;
const AS_OF: usize = 3;
/// Epoch, whether it is an alias, length of the canonical id.
const KIND: usize = 4;
const ID: usize = WORDS - ID_WORDS;

/// What was read of a slot, but for the canonical id.
#[derive(Clone, Copy)]
struct Copied {
    as_of: u64,
    kind: u64,
}

impl Copied {
    /// Of the canonical id. What is read while it is written is thrown away, but not out of bounds.
    fn length(self) -> usize {
        LONGEST.min(usize::from(self.kind as u8))
    }

    fn view(self, id: &[u8; LONGEST]) -> View<'_> {
        let canonical = (self.kind & IS_ALIAS != 0).then_some(&id[..self.length()]);
        View { canonical, as_of: self.as_of, epoch: self.kind >> EPOCH_SHIFT }
    }
}

fn is_of(slot: &Slot, footprint: Footprint) -> bool {
    slot[HASH].load(Ordering::Relaxed) == footprint.hash()
        && slot[CHECK].load(Ordering::Relaxed) == footprint.check()
}

/// The entry, if it is of this key; its canonical id is copied to `id`.
fn read_slot(slot: &Slot, footprint: Footprint, id: &mut [u8; LONGEST]) -> Option<Copied> {
    let writes = slot[WRITES].load(Ordering::Acquire);
    if !writes.is_multiple_of(2) || !is_of(slot, footprint) {
        return None;
    }
    let word = |word: usize| slot[word].load(Ordering::Relaxed);
    let copied = Copied { as_of: word(AS_OF), kind: word(KIND) };
    let words = copied.length().div_ceil(8);
    for (bytes, word) in id.chunks_exact_mut(8).zip(&slot[ID..]).take(words) {
        bytes.copy_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
    }
    // What was read must not be read after this.
    fence(Ordering::Acquire);
    (slot[WRITES].load(Ordering::Relaxed) == writes).then_some(copied)
}

/// Nobody else writes it meanwhile.
fn write_slot(slot: &Slot, footprint: Footprint, entry: View<'_>) {
    let writes = slot[WRITES].load(Ordering::Relaxed);
    slot[WRITES].store(writes + 1, Ordering::Relaxed);
    // What is written must not be seen before the count is.
    fence(Ordering::Release);
    let id = entry.canonical.unwrap_or_default();
    let is_alias = if entry.canonical.is_some() { IS_ALIAS } else { 0 };
    let kind = entry.epoch << EPOCH_SHIFT | is_alias | id.len() as u64;
    for (word, value) in
        [(HASH, footprint.hash()), (CHECK, footprint.check()), (AS_OF, entry.as_of), (KIND, kind)]
    {
        slot[word].store(value, Ordering::Relaxed);
    }
    for (word, bytes) in slot[ID..].iter().zip(id.chunks(8)) {
        let mut value = [0; 8];
        value[..bytes.len()].copy_from_slice(bytes);
        word.store(u64::from_le_bytes(value), Ordering::Relaxed);
    }
    slot[WRITES].store(writes + 2, Ordering::Release);
}

/// The table.
pub(super) struct HotTable {
    /// A byte of each slot's footprint, those of a set side by side, 0 for an empty slot: only an entry
    /// that is most likely the right one is looked at.
    tags: Box<[Word]>,
    slots: Box<[[Slot; WAYS]]>,
    /// Who writes to a set, its tags or its slots, has its lock. It is taken last of all locks.
    locks: Box<[Mutex<()>]>,
    /// Which slot of a full set goes next. Taking turns is as good as chance.
    turn: Word,
    entries: Word,
}

/// The tags and the slots that are for a key.
struct Set<'a> {
    index: usize,
    tags: &'a Word,
    slots: &'a [Slot; WAYS],
}

impl Set<'_> {
    /// Where the key's entry most likely is, the likeliest way first.
    fn ways(&self, tag: u8) -> impl Iterator<Item = usize> + use<> {
        ways_with(self.tags.load(Ordering::Acquire), tag)
    }

    fn way_of(&self, footprint: Footprint) -> Option<usize> {
        self.ways(tag(footprint)).find(|&way| is_of(&self.slots[way], footprint))
    }

    fn tag(&self, way: usize, tag: u8) {
        let mut tags = self.tags.load(Ordering::Relaxed).to_le_bytes();
        tags[way] = tag;
        self.tags.store(u64::from_le_bytes(tags), Ordering::Release);
    }
}

impl HotTable {
    /// A table of this many entries; without slots nothing is kept. Its memory is taken as it fills.
    pub fn new(slots: u64) -> Self {
        let sets = slots as usize / WAYS;
        Self {
            tags: bytemuck::allocation::zeroed_slice_box(sets),
            slots: bytemuck::allocation::zeroed_slice_box(sets),
            locks: (0..LOCKS).map(|_| Mutex::default()).collect(),
            turn: Word::new(0),
            entries: Word::new(0),
        }
    }

    /// What `read` makes of the entry, if it is here. At times it is here and not found, while it is
    /// written.
    pub fn read<R>(&self, footprint: Footprint, read: impl FnOnce(View<'_>) -> R) -> Option<R> {
        let set = self.set(footprint)?;
        let mut id = [0; LONGEST];
        // A tag may be that of another key.
        let copied = set
            .ways(tag(footprint))
            .find_map(|way| read_slot(&set.slots[way], footprint, &mut id))?;
        Some(read(copied.view(&id)))
    }

    /// Brings what a read of this key will look at into the processor's cache. For many keys in a row:
    /// their ways to the memory are then gone together, not one after another.
    pub fn touch(&self, footprint: Footprint) {
        let Some(set) = self.set(footprint) else { return };
        if let Some(way) = set.ways(tag(footprint)).next() {
            // Nothing waits for these loads.
            black_box(set.slots[way][WRITES].load(Ordering::Relaxed));
            black_box(set.slots[way][WORDS - 1].load(Ordering::Relaxed));
        }
    }

    pub fn holds(&self, footprint: Footprint) -> bool {
        self.set(footprint).is_some_and(|set| set.way_of(footprint).is_some())
    }

    /// Keeps an entry, in place of an older one of the key, or of whatever has had its turn. One that is
    /// too long is not kept.
    pub fn put(&self, footprint: Footprint, entry: View<'_>) {
        self.write(footprint, Self::fits(entry).then_some(entry));
    }

    /// Whether the entry is short enough to be kept.
    pub fn fits(entry: View<'_>) -> bool {
        entry.canonical.is_none_or(|id| id.len() <= LONGEST)
    }

    pub fn remove(&self, footprint: Footprint) {
        self.write(footprint, None);
    }

    fn write(&self, footprint: Footprint, entry: Option<View<'_>>) {
        let Some(set) = self.set(footprint) else { return };
        let _writing = self.locks[set.index % LOCKS].lock();
        let old = set.way_of(footprint);
        match (entry, old) {
            (Some(entry), Some(way)) => write_slot(&set.slots[way], footprint, entry),
            (Some(entry), None) => {
                let empty = set.ways(0).next();
                let in_turn = || self.turn.fetch_add(1, Ordering::Relaxed) as usize % WAYS;
                let way = empty.unwrap_or_else(in_turn);
                self.entries.fetch_add(empty.is_some().into(), Ordering::Relaxed);
                write_slot(&set.slots[way], footprint, entry);
                set.tag(way, tag(footprint));
            }
            (None, Some(way)) => {
                self.entries.fetch_sub(1, Ordering::Relaxed);
                set.tag(way, 0);
            }
            (None, None) => {}
        }
    }

    fn set(&self, footprint: Footprint) -> Option<Set<'_>> {
        // The high half of the check, scaled; the tag is of its low half.
        let index = (((footprint.check() >> 32) * self.slots.len() as u64) >> 32) as usize;
        let (tags, slots) = self.tags.get(index).zip(self.slots.get(index))?;
        Some(Set { index, tags, slots })
    }

    /// How many entries there are.
    pub fn len(&self) -> u64 {
        self.entries.load(Ordering::Relaxed)
    }
}

/// Never 0, which is that of an empty slot.
fn tag(footprint: Footprint) -> u8 {
    (footprint.check() as u8).max(1)
}

/// The places of a byte among eight, the lowest first. It is exact: a quicker test, which lets a carry
/// from one byte to the next, would take an empty slot for one that is looked for.
pub(super) fn ways_with(tags: u64, tag: u8) -> impl Iterator<Item = usize> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const LOW: u64 = ONES * 0x7f;
    let different = tags ^ (ONES * u64::from(tag));
    // The top bit of each byte that is zero: neither it nor any bit below is set.
    let mut same = !(((different & LOW) + LOW) | different | LOW);
    std::iter::from_fn(move || {
        let way = (same != 0).then(|| same.trailing_zeros() as usize / 8);
        same &= same.wrapping_sub(1);
        way
    })
}
