//! The bounded store of answers, shared by all shards. A dumb store: see [`super::Memory`] for the
//! rules. Every call that changes it is made under the lock of the key's stripe.
//!
//! An entry is in moka, or in the table in [front](super::hot_table) of it, or in both, which say the same to
//! who has the stripe's lock. What is asked for is looked for in front first, and copied there again when it was found behind.
//!
//! moka evicts by recency and frequency (TinyLFU) and keeps to a budget of bytes. Its `get_with` and
//! `and_compute_with` are not used: an invalidation during such a load is lost (measured, 0.12.16).

use super::entry::{Entry, View};
use super::footprint::{Footprint, Footprints};
use super::hot_table::{HotTable, SLOT_BYTES};
use crate::domain::Key;
use crate::mutant::step;
use crate::sync::moka;
use std::hash::{BuildHasherDefault, Hasher};

/// What moka and the allocator need for each entry beside its canonical id: a million entries of ids
/// that are no aliases took 313 bytes each of resident memory (moka 0.12.16, mimalloc).
const ENTRY_OVERHEAD: u32 = 320;

/// What a canonical id needs beside its bytes: the buffer, and the count that its readers share.
const CANONICAL_OVERHEAD: u32 = 64;

/// The part of the budget that the table in front takes: half. An entry is a third as large there.
const HOT_SHARE: u64 = 2;

/// All entries of all shards.
pub struct Cache {
    entries: moka::sync::Cache<Footprint, Entry, BuildHasherDefault<Identity>>,
    hot: HotTable,
    footprints: Footprints,
    budget_bytes: u64,
}

impl Cache {
    /// Bounded to about `budget_bytes`, overhead included. 0 keeps nothing.
    pub fn new(budget_bytes: u64) -> Self {
        // Keyed at random in each process, so that nobody can choose ids that collide.
        Self::keyed(budget_bytes, rand::random(), rand::random())
    }

    /// With places that are the same in each run, for a simulation.
    #[cfg(feature = "test-hooks")]
    pub fn seeded(budget_bytes: u64, seed: u64) -> Self {
        Self::keyed(budget_bytes, seed, 1)
    }

    fn keyed(budget_bytes: u64, key: u64, more_key: u64) -> Self {
        let slots = budget_bytes / HOT_SHARE / SLOT_BYTES;
        let entries = moka::sync::Cache::builder()
            .max_capacity(budget_bytes - slots * SLOT_BYTES)
            .weigher(|_: &Footprint, entry: &Entry| {
                let canonical = entry.canonical.as_ref();
                let canonical = canonical.map_or(0, |id| CANONICAL_OVERHEAD + id.len() as u32);
                ENTRY_OVERHEAD + canonical
            })
            .build_with_hasher(BuildHasherDefault::default());
        let footprints = Footprints::keyed(key, more_key);
        Self { entries, hot: HotTable::new(slots), footprints, budget_bytes }
    }

    /// The footprint of a key, for [`Memory`](super::Memory).
    pub fn footprint(&self, project: u64, id: &[u8]) -> Footprint {
        self.footprints.of(project, id)
    }

    pub(super) fn footprint_of(&self, key: &Key) -> Footprint {
        self.footprints.of_key(key)
    }

    pub(super) fn get(&self, footprint: Footprint) -> Option<Entry> {
        self.read_hot(footprint, |view| view.entry()).or_else(|| self.get_from_moka(footprint))
    }

    /// What `read` makes of an entry, if it is in the table in front.
    pub(super) fn read_hot<R>(
        &self,
        footprint: Footprint,
        read: impl FnOnce(View<'_>) -> R,
    ) -> Option<R> {
        self.hot.read(footprint, read)
    }

    /// See [`HotTable::touch`].
    pub(super) fn touch(&self, footprint: Footprint) {
        self.hot.touch(footprint);
    }

    pub(super) fn get_from_moka(&self, footprint: Footprint) -> Option<Entry> {
        self.entries.get(&footprint)
    }

    /// Under the stripe's lock, and read under it: else an older entry might be put in front of a newer.
    pub(super) fn copy_to_hot_table(&self, footprint: Footprint, entry: &Entry) {
        self.hot.put(footprint, entry.view());
    }

    pub(super) fn fits_hot_table(&self, entry: &Entry) -> bool {
        HotTable::fits(entry.view())
    }

    /// Whether there is an entry; the answer does not keep it from being evicted.
    pub(super) fn holds(&self, footprint: Footprint) -> bool {
        self.hot.holds(footprint) || self.entries.contains_key(&footprint)
    }

    pub(super) fn put(&self, footprint: Footprint, entry: Entry) {
        // The front last: whoever has read the new entry there, and finds later that it had to make room,
        // must not find the older one behind.
        self.entries.insert(footprint, entry.clone());
        step!(FrontKeepsChanges => self.hot.put(footprint, entry.view()));
    }

    pub(super) fn remove(&self, footprint: Footprint) {
        step!(FrontKeepsChanges => self.hot.remove(footprint));
        self.entries.invalidate(&footprint);
    }

    /// Drops an entry, as caches do that need the room: whenever they like. Of every second key only moka
    /// does.
    #[cfg(feature = "test-hooks")]
    pub fn evict(&self, key: &Key) {
        let footprint = self.footprint_of(key);
        if footprint.check().is_multiple_of(2) {
            self.hot.remove(footprint);
        }
        self.entries.invalidate(&footprint);
    }

    /// About how many entries are kept; one that is in moka and in front of it counts twice.
    pub fn kept(&self) -> u64 {
        self.hot.len() + self.entries.entry_count()
    }

    /// About how many bytes of the budget are used.
    pub fn weight(&self) -> u64 {
        self.entries.weighted_size() + self.hot.len() * SLOT_BYTES
    }

    pub fn budget(&self) -> u64 {
        self.budget_bytes
    }

    /// Lets moka do the evictions that it has put off.
    pub fn settle(&self) {
        self.entries.run_pending_tasks();
    }
}

/// Passes a finished hash through.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
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
