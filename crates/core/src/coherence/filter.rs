//! The filter: a compact set of all alias ids of a shard (`docs/design.md`, section 4). Most ids
//! are not aliases. It answers for them without an entry and without a query.
//!
//! It is a split block Bloom filter (F. Putze, P. Sanders, J. Singler, "Cache-, Hash- and
//! Space-Efficient Bloom Filters", 2007; the split into words is Impala's). A key sets one bit in
//! each of the eight words of one block of 32 bytes, so a question reads one line of the
//! processor's cache.
//!
//! Invariant: bits are only ever set. So "perhaps" may be wrong, and "surely not" never is.
//!
//! The bits come from the frozen hash of the id, not from the keyed hash of the footprint. The
//! frozen hash is known before the cache is asked. It is the same in each process, so the set can
//! be stored on disk without a secret. Somebody can choose ids that collide in it. The filter says
//! "perhaps" of those, and they are looked up as if there were no filter.

use super::law;
use crate::domain::IdHash;
use crate::sync::{AtomicBool, AtomicU64, Ordering};
use std::hint::black_box;

/// Bits for each key at full capacity. For 10 million keys, with a quarter more for growth, that
/// makes 23.4 MB. Then the filter says "perhaps" of about 1 in 1,000 ids that are not aliases (see
/// the test below).
const BITS_PER_KEY: u64 = 15;

/// Odd numbers that turn one half of a hash into the positions of eight bits.
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

/// 256 bits: eight words of 32 bits, two in each atomic.
pub(super) type Block = [AtomicU64; 4];

/// How full a filter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fill {
    /// How many keys it was made for. With more keys it says "perhaps" too often.
    pub capacity: u64,
    /// How many keys have set a bit. That is about the number of keys in it.
    pub keys: u64,
    /// How many dead ids it holds: aliases that were deleted. Their bits stay.
    pub dead: u64,
}

impl Fill {
    /// How many blocks there are; `None` if the number overflows.
    pub fn blocks(&self) -> Option<u64> {
        let bits = self.capacity.checked_mul(BITS_PER_KEY)?;
        Some(bits.div_ceil(256).max(1))
    }
}

/// The source that a filter was filled from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterSource {
    /// A scan of the table of aliases.
    Scan,
    /// A snapshot on disk, and the changes since.
    Snapshot,
}

/// The set, for one epoch of one shard.
pub struct Filter {
    blocks: Box<[Block]>,
    /// The epoch that its keys belong to. In another epoch it is worthless.
    pub(super) epoch: u64,
    /// The source that it was filled from.
    pub source: FilterSource,
    // The parts of a `Fill`.
    capacity: u64,
    keys: AtomicU64,
    dead: AtomicU64,
    /// The highest seq that a page was read at; `u64::MAX` until the last page is in.
    highest_page: AtomicU64,
    /// Whether it may answer.
    ready: AtomicBool,
}

impl Filter {
    /// An empty filter with room for `keys`, and a quarter more.
    pub(super) fn new(keys: u64, epoch: u64) -> Self {
        let fill = Fill { capacity: keys.saturating_add(keys / 4), keys: 0, dead: 0 };
        let blocks = (0..fill.blocks().unwrap_or(u64::MAX)).map(|_| Block::default()).collect();
        Self { source: FilterSource::Scan, epoch, ..Self::restored(fill, blocks) }
    }

    /// A filter that was saved. It belongs to no epoch yet.
    pub(super) fn restored(fill: Fill, blocks: Box<[Block]>) -> Self {
        Self {
            blocks,
            epoch: 0,
            source: FilterSource::Snapshot,
            capacity: fill.capacity,
            keys: AtomicU64::new(fill.keys),
            dead: AtomicU64::new(fill.dead),
            highest_page: AtomicU64::new(u64::MAX),
            ready: AtomicBool::new(false),
        }
    }

    /// Adds a key.
    pub(super) fn insert(&self, hash: IdHash) {
        let (mixed, mut new) = (mix(hash), false);
        for (word, mask) in self.block(mixed).iter().zip(masks(mixed)) {
            // Loads add most keys again. Their bits are set already, so nothing is written.
            if word.load(Ordering::Acquire) & mask != mask {
                new |= word.fetch_or(mask, Ordering::AcqRel) & mask != mask;
            }
        }
        if new {
            self.keys.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a dead id. An alias that is deleted twice counts twice, so the filter is replaced a
    /// little sooner.
    pub(super) fn deleted(&self) {
        self.dead.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the key was perhaps added. False means: surely not.
    #[inline]
    pub(super) fn may_hold(&self, hash: IdHash) -> bool {
        let mixed = mix(hash);
        self.block(mixed)
            .iter()
            .zip(masks(mixed))
            .all(|(word, mask)| word.load(Ordering::Acquire) & mask == mask)
    }

    /// Brings the block that [`may_hold`](Self::may_hold) reads into the processor's cache.
    #[inline]
    pub(super) fn touch(&self, hash: IdHash) {
        // The result is not used, so nothing waits for this load.
        black_box(self.block(mix(hash))[0].load(Ordering::Relaxed));
    }

    #[inline]
    fn block(&self, mixed: u64) -> &Block {
        // The high half, scaled to the number of blocks. The low half chooses the bits.
        let index = ((mixed >> 32) * self.blocks.len() as u64) >> 32;
        &self.blocks[index as usize]
    }

    /// Whether it may answer.
    #[inline]
    pub(super) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// The last page is in. `highest`: the highest seq that a page was read at.
    pub(super) fn filled(&self, highest: u64) {
        self.highest_page.store(highest, Ordering::Release);
    }

    /// Whether the last page is in.
    pub(super) fn is_filled(&self) -> bool {
        self.highest_page.load(Ordering::Acquire) != u64::MAX
    }

    /// The feed has applied all changes up to `cursor`.
    pub(super) fn applied(&self, cursor: u64) {
        if law::has_applied_pages(self.highest_page.load(Ordering::Acquire), cursor) {
            self.ready.store(true, Ordering::Release);
        }
    }

    /// About how many keys are in it.
    pub fn len(&self) -> u64 {
        self.keys.load(Ordering::Relaxed)
    }

    /// Whether no key is in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// About how many dead ids are in it.
    pub fn dead(&self) -> u64 {
        self.dead.load(Ordering::Relaxed)
    }

    /// Whether another filter should be filled: this one holds more keys than it was made for, or
    /// too many dead ids. It says "perhaps" of a dead id as long as it lives.
    ///
    /// One dead id in 32 is too many. Suppose that one id in ten is an alias, and that all ids are
    /// asked for equally often. Then dead ids make it say "perhaps" of 0.35 % of the ids that are
    /// not aliases, in addition to the 0.1 % by chance.
    pub fn is_worn(&self) -> bool {
        self.len() > self.capacity || self.dead() > self.len().max(self.capacity) / 32
    }

    /// About how many of its keys are aliases still. The next filter must have room for them.
    pub(super) fn alive(&self) -> u64 {
        self.len().saturating_sub(self.dead())
    }

    /// How full it is.
    pub(super) fn fill(&self) -> Fill {
        Fill { capacity: self.capacity, keys: self.len(), dead: self.dead() }
    }

    /// All its bits.
    pub(super) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The bytes of memory that it takes.
    pub fn bytes(&self) -> u64 {
        std::mem::size_of_val::<[Block]>(&self.blocks) as u64
    }

    /// The bits of a block. Other threads may set more of them meanwhile.
    pub(super) fn words(block: &Block) -> [u64; 4] {
        std::array::from_fn(|word| block[word].load(Ordering::Relaxed))
    }
}

/// Spreads the hash over all bits (the finalizer of A. Appleby's MurmurHash3). The top bits are the
/// slot, so they are nearly the same in all keys of a shard that owns few slots.
#[inline]
fn mix(hash: IdHash) -> u64 {
    let mut mixed = hash.get();
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ (mixed >> 33)
}

/// The bits of a key in each atomic of its block.
#[inline]
fn masks(mixed: u64) -> [u64; 4] {
    let half = mixed as u32;
    let bit = |salt: u32| 1_u64 << (half.wrapping_mul(salt) >> 27);
    std::array::from_fn(|pair| bit(SALTS[2 * pair]) | bit(SALTS[2 * pair + 1]) << 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Project;

    fn hash(number: u64) -> IdHash {
        IdHash::of(Project::new(7).expect("a project"), &number.to_be_bytes())
    }

    #[test]
    fn every_key_is_found_and_few_others_are() {
        let filter = Filter::new(1_000_000, 1);
        (0..1_000_000).for_each(|number| filter.insert(hash(number)));
        assert!((0..1_000_000).all(|number| filter.may_hold(hash(number))));
        let perhaps = (1_000_000..2_000_000).filter(|&number| filter.may_hold(hash(number)));
        let perhaps = perhaps.count();
        assert!(perhaps < 5_000, "{perhaps} of a million taken for aliases");
        assert!(filter.bytes() <= 2_400_000, "{} bytes", filter.bytes());
        assert!(!filter.is_worn());
        assert!((990_000..=1_000_000).contains(&filter.len()), "{}", filter.len());
    }

    /// All keys of a shard that owns a single slot have the same top bits.
    #[test]
    fn one_slot_is_spread_over_all_blocks() {
        let in_slot = || (0..).map(hash).filter(|hash| hash.slot().get() == 0);
        let filter = Filter::new(1_000, 1);
        in_slot().take(1_000).for_each(|hash| filter.insert(hash));
        let others = in_slot().skip(1_000).take(1_000);
        let perhaps = others.filter(|&hash| filter.may_hold(hash)).count();
        assert!(perhaps < 10, "{perhaps} of a thousand taken for aliases");
    }
}
