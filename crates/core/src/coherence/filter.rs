//! A compact set of all alias ids of a shard: it answers for the ids that are no aliases, which is
//! most, without an entry or a query.
//!
//! A split block Bloom filter (F. Putze, P. Sanders, J. Singler, "Cache-, Hash- and Space-Efficient
//! Bloom Filters", 2007; the split into words is Impala's): a key sets one bit in each of the eight
//! words of one block of 32 bytes, so a question is one line of the processor's cache. Bits are only
//! ever set: "perhaps" may be wrong, "surely not" never is.
//!
//! The bits come from the frozen hash that the slot comes from, not from the keyed one of the cache: it
//! is known before the cache is asked, and is the same in each process, so that the set can be kept on
//! disk and no secret with it. Who chooses ids that share their bits, or fill a block, makes "perhaps" of
//! them: they are looked up as if there were no filter. No answer depends on it.

use crate::domain::IdHash;
use crate::sync::{AtomicBool, AtomicU64, Ordering};
use std::hint::black_box;

/// Bits a key at full capacity. At 10 million keys and a quarter of room for growth that is 23.4 MB;
/// of ids that are no aliases about 1 in 1,000 is then taken for "perhaps" (see the test below).
const BITS_PER_KEY: u64 = 15;

/// Odd numbers that turn one half of a hash into eight positions.
const SALTS: [u32; 8] = [
    0x47b6_137b,
    0x4497_4d91,
    0x8824_ad5b,
    0xa2b7_289d,
    0x7054_95c7,
    0x2df1_424b,
    0x9efc_4947,
    0x5c6b_fb31,
];

/// 256 bits: eight words of 32, two to an atomic.
pub(super) type Block = [AtomicU64; 4];

/// How full a filter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fill {
    /// Keys that it was made for; with more of them "perhaps" becomes too frequent.
    pub capacity: u64,
    /// Keys that set a bit, about the number of those in it.
    pub keys: u64,
    /// Keys whose aliases were deleted: their bits stay.
    pub dead: u64,
}

impl Fill {
    /// How many blocks there are; `None` if no machine has room for so many.
    pub fn blocks(&self) -> Option<u64> {
        let bits = self.capacity.checked_mul(BITS_PER_KEY)?;
        Some(bits.div_ceil(256).max(1))
    }
}

/// What a filter was filled from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterSource {
    Scan,
    Snapshot,
}

/// The set, for one epoch of one shard.
pub struct Filter {
    blocks: Box<[Block]>,
    /// The epoch of the shard that its keys belong to.
    pub(super) epoch: u64,
    pub source: FilterSource,
    // See `Fill`.
    capacity: u64,
    keys: AtomicU64,
    dead: AtomicU64,
    /// The highest seq that a page of its scan was read at, once the scan is over.
    scanned: AtomicU64,
    /// Whether it may answer: the feed has applied all that its scan may have missed.
    ready: AtomicBool,
}

impl Filter {
    /// Room for `keys`, and a quarter more.
    pub(super) fn new(keys: u64, epoch: u64) -> Self {
        let fill = Fill { capacity: keys.saturating_add(keys / 4), keys: 0, dead: 0 };
        let blocks = (0..fill.blocks().unwrap_or(u64::MAX)).map(|_| Block::default()).collect();
        Self { source: FilterSource::Scan, epoch, ..Self::restored(fill, blocks) }
    }

    /// One that was saved; of no epoch yet.
    pub(super) fn restored(fill: Fill, blocks: Box<[Block]>) -> Self {
        Self {
            blocks,
            epoch: 0,
            source: FilterSource::Snapshot,
            capacity: fill.capacity,
            keys: AtomicU64::new(fill.keys),
            dead: AtomicU64::new(fill.dead),
            scanned: AtomicU64::new(u64::MAX),
            ready: AtomicBool::new(false),
        }
    }

    /// Adds a key. Who learns of the key later than this call finds it.
    pub(super) fn insert(&self, hash: IdHash) {
        let (mixed, mut new) = (mix(hash), false);
        for (word, mask) in self.block(mixed).iter().zip(masks(mixed)) {
            // A look first: most keys that are added again, by loads, change nothing.
            if word.load(Ordering::Acquire) & mask != mask {
                new |= word.fetch_or(mask, Ordering::AcqRel) & mask != mask;
            }
        }
        if new {
            self.keys.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// An alias was deleted. (Twice counts twice: so it is filled anew a little sooner.)
    pub(super) fn deleted(&self) {
        self.dead.fetch_add(1, Ordering::Relaxed);
    }

    /// False: it was surely not added.
    pub(super) fn may_hold(&self, hash: IdHash) -> bool {
        let mixed = mix(hash);
        self.block(mixed)
            .iter()
            .zip(masks(mixed))
            .all(|(word, mask)| word.load(Ordering::Acquire) & mask == mask)
    }

    /// Brings what [`may_hold`](Self::may_hold) will look at into the processor's cache.
    pub(super) fn touch(&self, hash: IdHash) {
        // Nothing waits for this load.
        black_box(self.block(mix(hash))[0].load(Ordering::Relaxed));
    }

    fn block(&self, mixed: u64) -> &Block {
        // The high half, scaled to the number of blocks; the low half chooses the bits.
        let index = ((mixed >> 32) * self.blocks.len() as u64) >> 32;
        &self.blocks[index as usize]
    }

    pub(super) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// The scan is over, its pages were read at this seq at the latest.
    pub(super) fn scanned(&self, seq: u64) {
        self.scanned.store(seq, Ordering::Release);
    }

    pub(super) fn is_scanned(&self) -> bool {
        self.scanned.load(Ordering::Acquire) != u64::MAX
    }

    /// The feed has applied all changes up to `seq`.
    pub(super) fn applied(&self, seq: u64) {
        if self.scanned.load(Ordering::Acquire) <= seq {
            self.ready.store(true, Ordering::Release);
        }
    }

    /// About how many keys are in it.
    pub fn len(&self) -> u64 {
        self.keys.load(Ordering::Relaxed)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// About how many of them are aliases no more.
    pub fn dead(&self) -> u64 {
        self.dead.load(Ordering::Relaxed)
    }

    /// Whether another should be filled: it holds more keys than it was made for, or too many that are
    /// dead, of which it says "perhaps" as long as it lives.
    ///
    /// Too many is one in 32: where one id in ten is an alias, and all are asked for alike, "perhaps" is
    /// then said of 0.35 % of those that are none, beside the 0.1 % that chance adds.
    pub fn is_worn(&self) -> bool {
        self.len() > self.capacity || self.dead() > self.len().max(self.capacity) / 32
    }

    /// How many aliases another one should have room for, at least.
    pub(super) fn alive(&self) -> u64 {
        self.len().saturating_sub(self.dead())
    }

    pub(super) fn fill(&self) -> Fill {
        Fill { capacity: self.capacity, keys: self.len(), dead: self.dead() }
    }

    pub(super) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The memory that it takes, in bytes.
    pub fn bytes(&self) -> u64 {
        std::mem::size_of_val::<[Block]>(&self.blocks) as u64
    }
}

impl Filter {
    /// The bits of a block, as they are at some moment.
    pub(super) fn words(block: &Block) -> [u64; 4] {
        std::array::from_fn(|word| block[word].load(Ordering::Relaxed))
    }
}

/// The same hash, spread out (the finalizer of A. Appleby's MurmurHash3): the top bits, which are the
/// slot, are nearly the same in all keys of a shard that owns few slots.
fn mix(hash: IdHash) -> u64 {
    let mut mixed = hash.get();
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ (mixed >> 33)
}

/// The bits of a key in each of its block's atomics.
fn masks(mixed: u64) -> [u64; 4] {
    let half = mixed as u32;
    let bit = |salt: u32| 1_u64 << (half.wrapping_mul(salt) >> 27);
    std::array::from_fn(|pair| bit(SALTS[2 * pair]) | bit(SALTS[2 * pair + 1]) << 32)
}
