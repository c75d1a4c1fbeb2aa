//! A cell of the hot table: one entry with its canonical id, in two lines of the processor's cache.
//!
//! Invariant: a reader gets a whole entry or none. A sequence lock keeps it: the count of writes is
//! odd while a writer is at work. A reader that finds the count odd, or changed after its read,
//! discards what it read. All words are atomic, so such a read is not undefined behaviour. (After
//! H.-J. Boehm, "Can Seqlocks Get Along With Programming Language Memory Models?", 2012.)

use crate::coherence::entry::View;
use crate::coherence::footprint::Footprint;
// These are not the atomics of `crate::sync`, so the interleavings do not explore them. A test of
// the hot table with real threads looks for torn entries.
pub(super) use std::sync::atomic::{AtomicU64 as Word, Ordering, fence};

/// How many words a cell has.
pub(super) const WORDS: usize = 16;
/// How many of them hold the canonical id.
const ID_WORDS: usize = 10;

/// The length of the longest canonical id that fits, in bytes.
pub(super) const LONGEST: usize = 8 * ID_WORDS;

/// The words of a cell. The type is an array and not a struct, so that a table of zeros can be
/// allocated without touching its memory.
pub(super) type Cell = [Word; WORDS];

// The word at each index. A cell without an entry has the tag 0 in the table and is never read.
pub(super) const WRITES: usize = 0;
const HASH: usize = 1;
const CHECK: usize = 2;
const AS_OF: usize = 3;
/// From the top: whether it was used, the epoch, whether it is an alias, the length of the canonical
/// id in the lowest byte.
const KIND: usize = 4;
const ID: usize = WORDS - ID_WORDS;

const IS_ALIAS: u64 = 1 << 8;
const EPOCH_SHIFT: u32 = 9;
const USED: u64 = 1 << 63;

/// The words that were read of a cell, without the canonical id.
#[derive(Clone, Copy)]
pub(super) struct Copied {
    as_of: u64,
    kind: u64,
}

impl Copied {
    /// The length of the canonical id. A torn read may bring any number here. It is discarded
    /// later, but must not lead out of bounds now.
    fn length(self) -> usize {
        LONGEST.min(usize::from(self.kind as u8))
    }

    #[inline]
    pub fn view(self, id: &[u8; LONGEST]) -> View<'_> {
        let canonical = (self.kind & IS_ALIAS != 0).then_some(&id[..self.length()]);
        View { canonical, as_of: self.as_of, epoch: (self.kind & !USED) >> EPOCH_SHIFT }
    }

    /// Whether the entry was asked for since the last [`forget_use`].
    pub fn was_used(self) -> bool {
        self.kind & USED != 0
    }
}

/// Whether the cell holds the entry of this key.
#[inline]
pub(super) fn is_of(cell: &Cell, footprint: Footprint) -> bool {
    cell[HASH].load(Ordering::Relaxed) == footprint.hash()
        && cell[CHECK].load(Ordering::Relaxed) == footprint.check()
}

/// Reads the entry if it is of this key, and copies its canonical id to `id`.
#[inline]
pub(super) fn read_cell(
    cell: &Cell,
    footprint: Footprint,
    id: &mut [u8; LONGEST],
) -> Option<Copied> {
    let writes = cell[WRITES].load(Ordering::Acquire);
    if !writes.is_multiple_of(2) || !is_of(cell, footprint) {
        return None;
    }
    let word = |word: usize| cell[word].load(Ordering::Relaxed);
    let copied = Copied { as_of: word(AS_OF), kind: word(KIND) };
    let words = copied.length().div_ceil(8);
    for (bytes, word) in id.chunks_exact_mut(8).zip(&cell[ID..]).take(words) {
        bytes.copy_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
    }
    // The loads above must not move behind the second load of the count.
    fence(Ordering::Acquire);
    (cell[WRITES].load(Ordering::Relaxed) == writes).then_some(copied)
}

/// Notes that the entry was asked for. Another key may have taken the cell meanwhile. Its entry is
/// marked then, which does no harm.
#[inline]
pub(super) fn mark_used(cell: &Cell, copied: Copied) {
    if !copied.was_used() {
        // Readers write only once for an entry: they share the line.
        cell[KIND].fetch_or(USED, Ordering::Relaxed);
    }
}

/// Forgets that the entry was asked for, if it is of this epoch.
pub(super) fn forget_use(cell: &Cell, epoch: u64) {
    let kind = cell[KIND].load(Ordering::Relaxed);
    if kind & USED != 0 && (kind & !USED) >> EPOCH_SHIFT == epoch {
        // Another entry may have taken the cell since. It is then forgotten too, which does no harm.
        cell[KIND].fetch_and(!USED, Ordering::Relaxed);
    }
}

/// Whether the entry was asked for. It may change at any time.
pub(super) fn is_used(cell: &Cell) -> bool {
    cell[KIND].load(Ordering::Relaxed) & USED != 0
}

/// Whose entry the cell holds. It may change at any time.
pub(super) fn footprint_of(cell: &Cell) -> Footprint {
    Footprint::of(cell[HASH].load(Ordering::Relaxed), cell[CHECK].load(Ordering::Relaxed))
}

/// Writes an entry. The caller holds the lock of the cell's set, so no other thread writes it.
/// `used`: somebody asked for it.
pub(super) fn write_cell(cell: &Cell, footprint: Footprint, entry: View<'_>, used: bool) {
    let writes = cell[WRITES].load(Ordering::Relaxed);
    cell[WRITES].store(writes + 1, Ordering::Relaxed);
    // The stores below must not move before the store of the count.
    fence(Ordering::Release);
    let id = entry.canonical.unwrap_or_default();
    let is_alias = if entry.canonical.is_some() { IS_ALIAS } else { 0 };
    let used = if used { USED } else { 0 };
    let kind = used | entry.epoch << EPOCH_SHIFT | is_alias | id.len() as u64;
    for (word, value) in
        [(HASH, footprint.hash()), (CHECK, footprint.check()), (AS_OF, entry.as_of), (KIND, kind)]
    {
        cell[word].store(value, Ordering::Relaxed);
    }
    for (word, bytes) in cell[ID..].iter().zip(id.chunks(8)) {
        let mut value = [0; 8];
        value[..bytes.len()].copy_from_slice(bytes);
        word.store(u64::from_le_bytes(value), Ordering::Relaxed);
    }
    cell[WRITES].store(writes + 2, Ordering::Release);
}
