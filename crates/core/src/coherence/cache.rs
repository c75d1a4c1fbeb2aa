//! The bounded store of entries, shared by all shards. It decides nothing:
//! [`Memory`](super::Memory) keeps the rules.
//!
//! Invariant: an entry is in moka, in the hot table, or in both, and under the stripe's lock the
//! two agree. Every call that changes the cache is made under the lock of the key's stripe (rules
//! 2, 3, 5).
//!
//! moka evicts by recency and frequency (TinyLFU) and keeps to a budget of bytes. Its `get_with`
//! and `and_compute_with` are not used: an invalidation during such a load is lost (measured on
//! 0.12.16).

use super::entry::{Entry, View};
use super::footprint::{Footprint, Footprints};
use super::hot_table::{CELL_BYTES, HotTable};
use crate::domain::Key;
use crate::mutant::step;
use crate::sync::{AtomicU64, MokaCache, Ordering};
use std::hash::{BuildHasherDefault, Hasher};

/// The bytes that moka and the allocator need for an entry, without its canonical id. A million
/// entries of ids that are not aliases took 313 bytes of resident memory each (moka 0.12.16,
/// mimalloc).
const ENTRY_OVERHEAD: u32 = 320;

/// The bytes that a canonical id needs besides its own: the buffer's header and its reference
/// count.
const CANONICAL_OVERHEAD: u32 = 64;

/// The hot table gets one part in this many of the budget. An entry takes about a third of the
/// memory there that it takes in moka.
const HOT_SHARE: u64 = 2;

/// All entries of all shards.
pub struct Cache {
    moka: MokaCache<Footprint, Entry, BuildHasherDefault<FootprintHasher>>,
    hot: HotTable,
    footprints: Footprints,
    budget_bytes: u64,
    /// How many memories use it.
    memories: AtomicU64,
}

/// The key of a cache's footprints. Caches with the same key have the same footprints, so that one
/// process can use what another has saved.
#[derive(Clone, Copy)]
pub struct CacheKey(pub [u8; 16]);

impl CacheKey {
    /// One that nobody knows.
    pub fn random() -> Self {
        Self(rand::random())
    }
}

impl Cache {
    /// A cache that takes about `budget_bytes`, overhead included. With 0 it keeps nothing. Its key
    /// is random, so nobody can choose ids that collide.
    pub fn new(budget_bytes: u64) -> Self {
        Self::with_key(budget_bytes, CacheKey::random())
    }

    /// The same with a key of an earlier process, which must be secret.
    pub fn with_key(budget_bytes: u64, key: CacheKey) -> Self {
        let (low, high) = (u128::from_le_bytes(key.0) as u64, u128::from_le_bytes(key.0) >> 64);
        Self::keyed(budget_bytes, low, high as u64)
    }

    /// A cache whose footprints are the same in each run, for the simulation.
    #[cfg(feature = "test-hooks")]
    pub fn seeded(budget_bytes: u64, seed: u64) -> Self {
        Self::keyed(budget_bytes, seed, 1)
    }

    fn keyed(budget_bytes: u64, key: u64, more_key: u64) -> Self {
        let cells = budget_bytes / HOT_SHARE / CELL_BYTES;
        let moka = MokaCache::builder()
            .max_capacity(budget_bytes - cells * CELL_BYTES)
            .weigher(|_: &Footprint, entry: &Entry| {
                let canonical = entry.canonical.as_ref();
                let canonical = canonical.map_or(0, |id| CANONICAL_OVERHEAD + id.len() as u32);
                ENTRY_OVERHEAD + canonical
            })
            .build_with_hasher(BuildHasherDefault::default());
        let footprints = Footprints::keyed(key, more_key);
        let (hot, memories) = (HotTable::new(cells), AtomicU64::new(0));
        Self { moka, hot, footprints, budget_bytes, memories }
    }

    /// The number of a memory that is about to use the cache.
    pub(super) fn memory_number(&self) -> u64 {
        self.memories.fetch_add(1, Ordering::Relaxed)
    }

    /// Stands for the key: the same for caches with the same key, and for no others.
    pub(super) fn key_mark(&self) -> u64 {
        self.footprints.of(0, b"the key of the footprints").hash()
    }

    /// The entries of aliases in the hot table that belong to this epoch and are as of `seq` or
    /// earlier. Those come first that were asked for since the last call for the same memory. `visit`
    /// returns false when it wants no more. No lock is taken, so entries that change meanwhile may be missing.
    pub(super) fn hot_aliases(
        &self,
        epoch: u64,
        seq: u64,
        mut visit: impl FnMut(Footprint, &[u8]) -> bool,
    ) {
        let mut one = |footprint: Footprint, view: View<'_>| match view.canonical {
            Some(id) if view.epoch == epoch && view.as_of <= seq => visit(footprint, id),
            _ => true,
        };
        if self.hot.visit(true, &mut one) {
            self.hot.visit(false, &mut one);
        }
        self.hot.forget_uses(epoch);
    }

    /// The footprint of a key.
    #[inline]
    pub fn footprint(&self, project: u64, id: &[u8]) -> Footprint {
        self.footprints.of(project, id)
    }

    pub(super) fn footprint_of(&self, key: &Key) -> Footprint {
        self.footprints.of_key(key)
    }

    pub(super) fn get(&self, footprint: Footprint) -> Option<Entry> {
        self.read_hot(footprint, |view| view.entry()).or_else(|| self.get_from_moka(footprint))
    }

    /// Calls `read` with the entry, if it is in the hot table.
    #[inline]
    pub(super) fn read_hot<R>(
        &self,
        footprint: Footprint,
        read: impl FnOnce(View<'_>) -> R,
    ) -> Option<R> {
        self.hot.read(footprint, read)
    }

    /// See [`HotTable::touch`].
    #[inline]
    pub(super) fn touch(&self, footprint: Footprint) {
        self.hot.touch(footprint);
    }

    pub(super) fn get_from_moka(&self, footprint: Footprint) -> Option<Entry> {
        self.moka.get(&footprint)
    }

    /// Copies an entry from moka to the hot table. The caller holds the lock of the key's stripe,
    /// and has read the entry under it. Otherwise an older entry could hide a newer one.
    pub(super) fn copy_to_hot_table(&self, footprint: Footprint, entry: &Entry) {
        self.hot.put(footprint, entry.view());
    }

    pub(super) fn fits_hot_table(&self, entry: &Entry) -> bool {
        HotTable::fits(entry.view())
    }

    /// Whether there is an entry. It does not count as a use.
    pub(super) fn holds(&self, footprint: Footprint) -> bool {
        self.hot.holds(footprint) || self.moka.contains_key(&footprint)
    }

    pub(super) fn put(&self, footprint: Footprint, entry: Entry) {
        // moka first. The hot table may drop the new entry at any time. A reader that has seen it
        // there must not find an older one in moka afterwards.
        self.moka.insert(footprint, entry.clone());
        step!(HotTableMissesChanges => self.hot.put(footprint, entry.view()));
    }

    /// Keeps an entry that no reader asked for, if there is room: in an empty cell of the hot
    /// table, or else in moka. Returns false if there is none. The caller knows that there is no
    /// entry of the key in the present epoch.
    pub(super) fn fill(&self, footprint: Footprint, entry: View<'_>) -> bool {
        if self.holds(footprint) {
            // Of another epoch. The new one must not stand beside it.
            self.remove(footprint);
        }
        if self.hot.fill(footprint, entry) {
            return true;
        }
        let has_room = self.has_room();
        if has_room {
            self.moka.insert(footprint, entry.entry());
        }
        has_room
    }

    /// Whether what no reader asked for may enter: a tenth of the budget is left to what readers
    /// ask for. moka counts late: see [`Cache::settle`].
    pub fn has_room(&self) -> bool {
        self.weight() < self.budget_bytes / 10 * 9
    }

    pub(super) fn remove(&self, footprint: Footprint) {
        step!(HotTableMissesChanges => self.hot.remove(footprint));
        self.moka.invalidate(&footprint);
    }

    /// Evicts an entry, as a cache may do at any time. For every second key only moka's copy is
    /// evicted.
    #[cfg(feature = "test-hooks")]
    pub fn evict(&self, key: &Key) {
        let footprint = self.footprint_of(key);
        if footprint.check().is_multiple_of(2) {
            self.hot.remove(footprint);
        }
        self.moka.invalidate(&footprint);
    }

    /// About how many entries there are. An entry that is in moka and in the hot table counts
    /// twice.
    pub fn kept(&self) -> u64 {
        self.hot.len() + self.moka.entry_count()
    }

    /// About how many bytes of the budget are used.
    pub fn weight(&self) -> u64 {
        self.moka.weighted_size() + self.hot.len() * CELL_BYTES
    }

    /// The bytes that the cache may take.
    pub fn budget(&self) -> u64 {
        self.budget_bytes
    }

    /// Makes moka do the evictions that it has postponed.
    pub fn settle(&self) {
        self.moka.run_pending_tasks();
    }
}

/// Uses a footprint's own hash.
#[derive(Default)]
struct FootprintHasher(u64);

impl Hasher for FootprintHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
