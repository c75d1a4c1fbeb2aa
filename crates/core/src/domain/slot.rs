//! Slots: the 4096 buckets of ids that shards own, and the frozen hash that assigns ids to them.
//!
//! Invariant: the slot of an id never changes, because every stored row carries it
//! (`docs/design.md`, section 3).

use super::{MAX_ID_BYTES, Project};
use xxhash_rust::xxh3::Xxh3Default;

/// How many slots there are. Every stored row carries its slot, so this never changes.
pub const SLOTS: u16 = 4096;

/// The hash of an id in its project: XXH3-64 (seed 0) over the project, 8 bytes big-endian,
/// followed by the id. Its top 12 bits are the [`Slot`].
///
/// The hash is frozen: another one would give stored rows other slots, and no read would find them.
/// `crates/core/tests/golden/slots.txt` pins it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdHash(u64);

impl IdHash {
    /// The hash of these bytes, whether they are a valid id or not.
    #[inline]
    pub fn of(project: Project, id: &[u8]) -> Self {
        // Clearing a buffer for the longest id costs as much as hashing a usual id, so a short
        // buffer is tried first.
        let short = hash_in::<64>(project, id);
        let hash = short.or_else(|| hash_in::<{ 8 + MAX_ID_BYTES }>(project, id));
        Self(hash.unwrap_or_else(|| {
            let mut hasher = Xxh3Default::new();
            hasher.update(&project.get().to_be_bytes());
            hasher.update(id);
            hasher.digest()
        }))
    }

    /// The slot that the hash belongs to.
    #[inline]
    pub fn slot(self) -> Slot {
        Slot((self.0 >> 52) as u16)
    }

    /// All 64 bits.
    #[inline]
    pub fn get(self) -> u64 {
        self.0
    }
}

/// The hash, if project and id fit into `ROOM` bytes.
#[inline]
fn hash_in<const ROOM: usize>(project: Project, id: &[u8]) -> Option<u64> {
    let mut room = [0; ROOM];
    let input = room.get_mut(..8 + id.len())?;
    input[..8].copy_from_slice(&project.get().to_be_bytes());
    input[8..].copy_from_slice(id);
    Some(xxhash_rust::xxh3::xxh3_64(input))
}

/// One of the 4096 buckets of ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(u16);

impl Slot {
    /// The slot that owns an id: the top 12 bits of its [hash](IdHash).
    #[inline]
    pub fn of(project: Project, id: &[u8]) -> Self {
        IdHash::of(project, id).slot()
    }

    /// `None` for 4096 and above.
    #[inline]
    pub fn new(slot: u16) -> Option<Self> {
        (slot < SLOTS).then_some(Self(slot))
    }

    /// The number, from 0 to 4095.
    #[inline]
    pub fn get(self) -> u16 {
        self.0
    }

    /// All slots, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..SLOTS).map(Self)
    }
}
