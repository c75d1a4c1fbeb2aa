//! The bounded store of answers, shared by all shards. A dumb store: see [`super::Memory`] for the
//! rules. Every call that changes it is made under the lock of the key's stripe.
//!
//! An entry is in moka, or in the table in [front](super::front) of it, or in both, which say the same to
//! who has the stripe's lock. What is asked for is looked for in front first, and copied there again when it was found behind.
//!
//! moka evicts by recency and frequency (TinyLFU) and keeps to a budget of bytes. Its `get_with` and
//! `and_compute_with` are not used: an invalidation during such a load is lost (measured, 0.12.16).

use super::front::{Front, SLOT_BYTES};
use crate::domain::{Id, Key};
use crate::hooks;
use crate::sync::moka;
use bytes::Bytes;
use siphasher::sip128::{Hasher128, SipHasher13};
use std::fmt;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// What moka and the allocator need for each entry beside its canonical id: a million entries of ids
/// that are no aliases took 313 bytes each of resident memory (moka 0.12.16, mimalloc).
const ENTRY_OVERHEAD: u32 = 320;

/// What a canonical id needs beside its bytes: the buffer, and the count that its readers share.
const CANONICAL_OVERHEAD: u32 = 64;

/// The part of the budget that the table in front takes: half. An entry is a third as large there.
const FRONT_SHARE: u64 = 2;

/// An id is an alias of somebody, or of nobody, as of a position.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub canonical: Option<Bytes>,
    /// The seq that it was read or changed at.
    pub as_of: u64,
    /// The epoch of the shard that it belongs to; of another epoch it is worthless.
    pub epoch: u64,
}

impl Entry {
    pub fn view(&self) -> View<'_> {
        View { canonical: self.canonical.as_deref(), as_of: self.as_of, epoch: self.epoch }
    }
}

/// An entry, wherever it is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    pub canonical: Option<&'a [u8]>,
    pub as_of: u64,
    pub epoch: u64,
}

impl View<'_> {
    fn entry(self) -> Entry {
        let Self { canonical, as_of, epoch } = self;
        Entry { canonical: canonical.map(Bytes::copy_from_slice), as_of, epoch }
    }
}

/// What stands for a key in memory: 128 bits of SipHash-1-3 (J.-P. Aumasson, D. J. Bernstein, 2012)
/// over project and id, keyed at random in each process.
///
/// Two keys with one footprint would be taken for one person. That ten million remembered keys meet one
/// of a million billion others by chance has odds of 3 in 10^17. Nor can it be brought about: SipHash is
/// made so that who does not know its key cannot find keys that collide, however many answers they see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    hash: u64,
    check: u64,
}

impl Footprint {
    #[cfg(test)]
    pub(super) fn of(hash: u64, check: u64) -> Self {
        Self { hash, check }
    }

    /// The half that chooses the stripe and the place in moka.
    pub(super) fn hash(self) -> u64 {
        self.hash
    }

    pub(super) fn check(self) -> u64 {
        self.check
    }
}

impl Hash for Footprint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl fmt::Display for Footprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.hash, self.check)
    }
}

/// All entries of all shards.
pub struct Cache {
    entries: moka::sync::Cache<Footprint, Entry, BuildHasherDefault<Identity>>,
    front: Front,
    hasher: SipHasher13,
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
        let slots = budget_bytes / FRONT_SHARE / SLOT_BYTES;
        let entries = moka::sync::Cache::builder()
            .max_capacity(budget_bytes - slots * SLOT_BYTES)
            .weigher(|_: &Footprint, entry: &Entry| {
                let canonical = entry.canonical.as_ref();
                let canonical = canonical.map_or(0, |id| CANONICAL_OVERHEAD + id.len() as u32);
                ENTRY_OVERHEAD + canonical
            })
            .build_with_hasher(BuildHasherDefault::default());
        let hasher = SipHasher13::new_with_keys(key, more_key);
        Self { entries, front: Front::new(slots), hasher, budget_bytes }
    }

    /// The footprint of a key, for [`Memory`](super::Memory).
    pub fn footprint(&self, project: u64, id: &[u8]) -> Footprint {
        let mut hasher = self.hasher;
        hasher.write(&project.to_le_bytes());
        hasher.write(id);
        let hash = hasher.finish128();
        Footprint { hash: hash.h1, check: hash.h2 }
    }

    pub(super) fn footprint_of(&self, key: &Key) -> Footprint {
        self.footprint(key.project().get(), key.id().as_bytes())
    }

    pub(super) fn get(&self, place: Footprint) -> Option<Entry> {
        self.read_front(place, |view| view.entry()).or_else(|| self.get_behind(place))
    }

    /// What `read` makes of an entry, if it is in the table in front.
    pub(super) fn read_front<R>(
        &self,
        place: Footprint,
        read: impl FnOnce(View<'_>) -> R,
    ) -> Option<R> {
        self.front.read(place, read)
    }

    /// See [`Front::touch`].
    pub(super) fn touch(&self, place: Footprint) {
        self.front.touch(place);
    }

    pub(super) fn get_behind(&self, place: Footprint) -> Option<Entry> {
        self.entries.get(&place)
    }

    /// Under the stripe's lock, and read under it: else an older entry might be put in front of a newer.
    pub(super) fn copy_to_front(&self, place: Footprint, entry: &Entry) {
        self.front.put(place, entry.view());
    }

    pub(super) fn fits_front(&self, entry: &Entry) -> bool {
        Front::fits(entry.view())
    }

    /// Whether there is an entry; the answer does not keep it from being evicted.
    pub(super) fn holds(&self, place: Footprint) -> bool {
        self.front.holds(place) || self.entries.contains_key(&place)
    }

    pub(super) fn put(&self, place: Footprint, entry: Entry) {
        // The front last: whoever has read the new entry there, and finds later that it had to make room,
        // must not find the older one behind.
        self.entries.insert(place, entry.clone());
        if !hooks::mutant("front_keeps_changes") {
            self.front.put(place, entry.view());
        }
    }

    pub(super) fn remove(&self, place: Footprint) {
        if !hooks::mutant("front_keeps_changes") {
            self.front.remove(place);
        }
        self.entries.invalidate(&place);
    }

    /// Drops an entry, as caches do that need the room: whenever they like. Of every second key only moka
    /// does.
    #[cfg(feature = "test-hooks")]
    pub fn evict(&self, key: &Key) {
        let place = self.footprint_of(key);
        if place.check().is_multiple_of(2) {
            self.front.remove(place);
        }
        self.entries.invalidate(&place);
    }

    /// About how many entries are kept; one that is in moka and in front of it counts twice.
    pub fn kept(&self) -> u64 {
        self.front.len() + self.entries.entry_count()
    }

    /// About how many bytes of the budget are used.
    pub fn weight(&self) -> u64 {
        self.entries.weighted_size() + self.front.len() * SLOT_BYTES
    }

    pub fn budget(&self) -> u64 {
        self.budget_bytes
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
