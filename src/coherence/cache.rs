//! The bounded store of answers, shared by all shards. A dumb store: see [`super::Memory`] for the
//! rules. Every call that changes it is made under the lock of the key's stripe.
//!
//! moka evicts by recency and frequency (TinyLFU) and keeps to a budget of bytes. Its `get_with` and
//! `and_compute_with` are not used: an invalidation during such a load is lost (measured, 0.12.16).

use crate::domain::{Id, Key};
use crate::sync::moka;
use ahash::RandomState;
use bytes::Bytes;
use moka::Equivalent;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// What moka and the allocator need for each entry beside the bytes of the id: a million entries of
/// 36-byte ids that are no aliases took 384 MB of resident memory (moka 0.12.16, mimalloc).
const ENTRY_OVERHEAD: u32 = 352;

/// What a canonical id needs beside its bytes: the buffer, and the count that its readers share.
const CANONICAL_OVERHEAD: u32 = 64;

/// An id is an alias of somebody, or of nobody, as of a position.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub canonical: Option<Bytes>,
    /// The seq that it was read or changed at.
    pub as_of: u64,
    /// The epoch of the shard that it belongs to; of another epoch it is worthless.
    pub epoch: u64,
}

/// A key's place: its hash is computed once for the stripe and the cache.
#[derive(Clone, Copy, Debug)]
pub struct Footprint(pub(super) u64);

impl std::fmt::Display for Footprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// All entries of all shards.
pub struct Cache {
    entries: moka::sync::Cache<CacheKey, Entry, BuildHasherDefault<Identity>>,
    hasher: RandomState,
}

impl Cache {
    /// Bounded to about `budget_bytes`, overhead included. 0 keeps nothing.
    pub fn new(budget_bytes: u64) -> Self {
        // Keyed at random in each process, so that nobody can choose ids that collide.
        Self::with_hasher(budget_bytes, RandomState::new())
    }

    /// With places that are the same in each run, for a simulation.
    #[cfg(feature = "test-hooks")]
    pub fn seeded(budget_bytes: u64, seed: u64) -> Self {
        Self::with_hasher(budget_bytes, RandomState::with_seeds(seed, 1, 2, 3))
    }

    fn with_hasher(budget_bytes: u64, hasher: RandomState) -> Self {
        let entries = moka::sync::Cache::builder()
            .max_capacity(budget_bytes)
            .weigher(|key: &CacheKey, entry: &Entry| {
                let canonical = entry.canonical.as_ref();
                let canonical = canonical.map_or(0, |id| CANONICAL_OVERHEAD + id.len() as u32);
                ENTRY_OVERHEAD + key.id.len() as u32 + canonical
            })
            .build_with_hasher(BuildHasherDefault::default());
        Self { entries, hasher }
    }

    /// The hash of a key, for [`Memory`](super::Memory).
    pub fn footprint(&self, project: u64, id: &[u8]) -> Footprint {
        Footprint(self.hasher.hash_one((project, id)))
    }

    pub(super) fn footprint_of(&self, key: &Key) -> Footprint {
        self.footprint(key.project().get(), key.id().as_bytes())
    }

    pub(super) fn get(&self, footprint: Footprint, project: u64, id: &[u8]) -> Option<Entry> {
        self.entries.get(&Query { hash: footprint.0, project, id })
    }

    pub(super) fn get_key(&self, footprint: Footprint, key: &Key) -> Option<Entry> {
        self.get(footprint, key.project().get(), key.id().as_bytes())
    }

    /// Whether there is an entry; the answer does not keep it from being evicted.
    pub(super) fn holds(&self, footprint: Footprint, key: &Key) -> bool {
        let (project, id) = (key.project().get(), key.id().as_bytes());
        self.entries.contains_key(&Query { hash: footprint.0, project, id })
    }

    pub(super) fn put(&self, footprint: Footprint, key: &Key, entry: Entry) {
        let id = key.id().as_bytes().into();
        self.entries
            .insert(CacheKey { hash: footprint.0, project: key.project().get(), id }, entry);
    }

    pub(super) fn remove(&self, footprint: Footprint, key: &Key) {
        let (project, id) = (key.project().get(), key.id().as_bytes());
        self.entries.invalidate(&Query { hash: footprint.0, project, id });
    }

    /// Drops an entry, as moka does when it needs the room: whenever it likes.
    #[cfg(feature = "test-hooks")]
    pub fn evict(&self, key: &Key) {
        self.remove(self.footprint_of(key), key);
    }

    /// About how many entries there are.
    pub fn len(&self) -> u64 {
        self.entries.entry_count()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// About how many bytes of the budget are used.
    pub fn weight(&self) -> u64 {
        self.entries.weighted_size()
    }

    pub fn budget(&self) -> u64 {
        self.entries.policy().max_capacity().unwrap_or(u64::MAX)
    }

    /// Lets moka do the evictions that it has put off.
    pub fn settle(&self) {
        self.entries.run_pending_tasks();
    }
}

/// The canonical id in memory of its own: an entry must not keep a whole answer of a database alive.
pub(super) fn detached(canonical: Option<&Id>) -> Option<Bytes> {
    canonical.map(|id| Bytes::copy_from_slice(id.as_bytes()))
}

struct CacheKey {
    hash: u64,
    project: u64,
    id: Box<[u8]>,
}

impl PartialEq for CacheKey {
    fn eq(&self, other: &Self) -> bool {
        self.project == other.project && self.id == other.id
    }
}

impl Eq for CacheKey {}

impl Hash for CacheKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

struct Query<'a> {
    hash: u64,
    project: u64,
    id: &'a [u8],
}

impl Hash for Query<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Equivalent<CacheKey> for Query<'_> {
    fn equivalent(&self, key: &CacheKey) -> bool {
        self.project == key.project && *self.id == *key.id
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
