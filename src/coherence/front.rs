//! A compact table in front of the cache: copies of the entries that were asked for lately.
//!
//! A look into moka costs up to a microsecond where there are many entries: it takes a lock of its own,
//! counts the use, and misses the processor's cache several times. Here an entry costs eight bytes of
//! tags and the two lines that the copy lies in, with its id. Readers write nothing, so threads share the
//! table at no cost.
//!
//! Nobody tells this table that an entry has changed: each was copied at a version of its stripe, and
//! is good as long as the stripe has that version (see [`super::stripe`]).

use super::Footprint;
use super::cache::View;
use crate::hooks;
use crate::sync::{AtomicU64, Ordering, fence};
use std::hint::black_box;
// What a slot holds is protected by its count of writes, the one thing whose order matters.
use std::sync::atomic::{AtomicU64 as Word, AtomicUsize};

/// Places that a key may take. Keys meet by chance: of as many keys as there are slots, a table with one
/// place for each lacks more than a third, with four a fifth, with eight a seventh.
pub(super) const WAYS: usize = 8;

/// Words of a slot that hold the canonical id.
const ID_WORDS: usize = 10;

/// The longest canonical id that is copied, in bytes: what is left of two lines of the processor's cache.
pub(super) const LONGEST: usize = 8 * ID_WORDS;

/// What a slot takes, in bytes, with its tag.
pub(super) const SLOT_BYTES: u64 = 128 + 1;

/// No version is odd: this is added to what is kept, so that 0, of an empty slot, is none.
const GIVEN: u64 = 1;

/// What the word of an alias begins with, beside the length of its canonical id in the lowest byte and
/// the epoch above.
const IS_ALIAS: u64 = 1 << 8;
const EPOCH_SHIFT: u32 = 9;

/// An entry as it was at a version of its stripe. A sequence lock keeps it whole: who writes makes the
/// count of writes odd meanwhile, and who finds it odd, or changed after reading, has read nothing. All
/// of it is in words that are atomic, each for itself, so no such reading is undefined. (After H.-J.
/// Boehm, "Can Seqlocks Get Along With Programming Language Memory Models?", 2012.)
#[repr(align(128))]
#[derive(Default)]
pub(super) struct Slot {
    writes: AtomicU64,
    hash: Word,
    check: Word,
    version: Word,
    as_of: Word,
    /// Epoch, whether it is an alias, length of the canonical id.
    kind: Word,
    id: [Word; ID_WORDS],
}

impl Slot {
    fn is_of(&self, place: Footprint) -> bool {
        self.hash.load(Ordering::Relaxed) == place.hash()
            && self.check.load(Ordering::Relaxed) == place.check()
    }

    /// The copy, if it is of this key at this version; its canonical id is copied to `id`.
    fn read(&self, place: Footprint, version: u64, id: &mut [u8; LONGEST]) -> Option<Copied> {
        let writes = self.writes.load(Ordering::Acquire);
        let kept = self.version.load(Ordering::Relaxed);
        let good = kept == version + GIVEN || (kept != 0 && hooks::mutant("front_ignores_version"));
        if !writes.is_multiple_of(2) || !good || !self.is_of(place) {
            return None;
        }
        let (as_of, kind) = (self.as_of.load(Ordering::Relaxed), self.kind.load(Ordering::Relaxed));
        let copied = Copied { as_of, kind };
        let words = copied.length().div_ceil(8);
        for (bytes, word) in id.chunks_exact_mut(8).zip(&self.id).take(words) {
            bytes.copy_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
        }
        // What was read must not be read after this.
        fence(Ordering::Acquire);
        (self.writes.load(Ordering::Relaxed) == writes).then_some(copied)
    }

    /// False: another thread is writing here. It is not waited for.
    fn write(&self, place: Footprint, version: u64, entry: View<'_>) -> bool {
        let writes = self.writes.load(Ordering::Relaxed);
        let odd = writes | 1;
        let swap = self.writes.compare_exchange(writes, odd, Ordering::Acquire, Ordering::Relaxed);
        if writes == odd || swap.is_err() {
            return false;
        }
        // What is written must not be seen before the count is.
        fence(Ordering::Release);
        let id = entry.canonical.unwrap_or_default();
        let is_alias = if entry.canonical.is_some() { IS_ALIAS } else { 0 };
        let kind = entry.epoch << EPOCH_SHIFT | is_alias | id.len() as u64;
        for (word, value) in [
            (&self.hash, place.hash()),
            (&self.check, place.check()),
            (&self.version, version + GIVEN),
            (&self.as_of, entry.as_of),
            (&self.kind, kind),
        ] {
            word.store(value, Ordering::Relaxed);
        }
        for (word, bytes) in self.id.iter().zip(id.chunks(8)) {
            let mut value = [0; 8];
            value[..bytes.len()].copy_from_slice(bytes);
            word.store(u64::from_le_bytes(value), Ordering::Relaxed);
        }
        self.writes.store(writes + 2, Ordering::Release);
        true
    }
}

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

/// The table.
pub(super) struct Front {
    /// A byte of each slot's footprint, those of a set side by side, 0 for an empty slot: only a copy
    /// that is most likely the right one is looked at. A tag that is lost, where two threads write at
    /// once, is a copy that is not found.
    tags: Box<[Word]>,
    slots: Box<[[Slot; WAYS]]>,
    /// Which slot of a full set goes next. Taking turns is as good as chance.
    turn: AtomicUsize,
}

impl Front {
    /// A table of this many entries; without slots nothing is kept.
    pub fn new(slots: u64) -> Self {
        let sets = slots / WAYS as u64;
        Self {
            tags: (0..sets).map(|_| Word::new(0)).collect(),
            slots: (0..sets).map(|_| Default::default()).collect(),
            turn: AtomicUsize::new(0),
        }
    }

    /// What `read` makes of the entry, if there is a copy of this version.
    pub fn read<R>(
        &self,
        place: Footprint,
        version: u64,
        read: impl FnOnce(View<'_>) -> R,
    ) -> Option<R> {
        let (tags, slots) = self.set(place)?;
        let mut id = [0; LONGEST];
        // A tag may be that of another key.
        let mut ways = ways_with(tags.load(Ordering::Relaxed), tag(place));
        let copied = ways.find_map(|way| slots.get(way)?.read(place, version, &mut id))?;
        Some(read(copied.view(&id)))
    }

    /// Brings what a read of this key will look at into the processor's cache. For many keys in a row:
    /// their ways to the memory are then gone together, not one after another.
    pub fn touch(&self, place: Footprint) {
        let Some((tags, slots)) = self.set(place) else { return };
        let mut ways = ways_with(tags.load(Ordering::Relaxed), tag(place));
        if let Some(slot) = ways.next().and_then(|way| slots.get(way)) {
            // Nothing waits for these loads.
            black_box(slot.hash.load(Ordering::Relaxed));
            black_box(slot.id[ID_WORDS - 1].load(Ordering::Relaxed));
        }
    }

    /// Keeps a copy, in place of an older one of the key, or of whatever has had its turn.
    pub fn put(&self, place: Footprint, version: u64, entry: View<'_>) {
        let Some((tags, slots)) = self.set(place) else { return };
        if entry.canonical.is_some_and(|id| id.len() > LONGEST) {
            return;
        }
        let (packed, tag) = (tags.load(Ordering::Relaxed), tag(place));
        let way = ways_with(packed, tag)
            .find(|&way| slots.get(way).is_some_and(|slot| slot.is_of(place)))
            .or_else(|| ways_with(packed, 0).next())
            .unwrap_or_else(|| self.turn.fetch_add(1, Ordering::Relaxed) % WAYS);
        if slots[way].write(place, version, entry) {
            let mut packed = packed.to_le_bytes();
            packed[way] = tag;
            tags.store(u64::from_le_bytes(packed), Ordering::Relaxed);
        }
    }

    /// The tags and the slots that are for this key.
    fn set(&self, place: Footprint) -> Option<(&Word, &[Slot; WAYS])> {
        // The high half of the check, scaled; the tag is of its low half.
        let set = ((place.check() >> 32) * self.slots.len() as u64) >> 32;
        self.tags.get(set as usize).zip(self.slots.get(set as usize))
    }
}

/// Never 0, which is that of an empty slot.
fn tag(place: Footprint) -> u8 {
    (place.check() as u8).max(1)
}

/// The places of a byte among eight, the lowest first. After one that is right there may be a wrong one.
/// (A. Mycroft's test for a byte that is zero, 1987.)
pub(super) fn ways_with(tags: u64, tag: u8) -> impl Iterator<Item = usize> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    let different = tags ^ (ONES * u64::from(tag));
    let mut same = different.wrapping_sub(ONES) & !different & (ONES << 7);
    std::iter::from_fn(move || {
        let way = (same != 0).then(|| same.trailing_zeros() as usize / 8);
        same &= same.wrapping_sub(1);
        way
    })
}
