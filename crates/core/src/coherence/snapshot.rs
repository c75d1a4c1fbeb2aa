//! A filter as bytes, so that it can be kept on disk and spare the next process a scan.
//!
//! ```text
//! magic, version                                what this is
//! shard, shards, cluster, slots                 whose aliases
//! seq, nonce                                    all aliases up to this position are in it
//! capacity, keys, dead                          how full it is
//! blocks                                        the bits, 32 bytes a block
//! checksum                                      XXH3-128 of all before
//! ```
//!
//! Numbers are little-endian. What is read is not trusted further than this: the checksum says that the
//! bytes are those that were written, the identity that they are of this shard, and whether the position
//! is one of the shard's history is for the change log to say ([`Memory::replay`](super::Memory::replay)).
//! Who may write to the folder may make a filter that hides aliases, as who may write to the database may.

use super::filter::{Block, Fill, Filter};
use super::memory::{FilterImage, SavedFilter};
use crate::domain::Identity;
use crate::domain::Position;
use crate::sync::AtomicU64;
use std::io::{self, Read, Write};
use xxhash_rust::xxh3::Xxh3Default;

const MAGIC: [u8; 8] = *b"aka-flt\n";

/// To be raised when anything above changes, or where a key's bits are (a test has them).
const VERSION: u32 = 1;

const HEADER: u64 = 8 + 4 + 2 + 2 + 8 + SLOT_BYTES as u64 + 5 * 8;
const SLOT_BYTES: usize = crate::domain::SLOTS as usize / 8;
const CHECKSUM: u64 = 16;
const BLOCK: u64 = 32;

/// Blocks that are written at once.
const CHUNK: usize = 2_048;

/// Why a snapshot is of no use.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotFault {
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    #[error("it is no filter of this version")]
    Unknown,
    #[error("it is of another shard, or of other slots")]
    Foreign,
    #[error("it is damaged")]
    Damaged,
}

impl FilterImage {
    /// Writes the snapshot of a shard's filter.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn write(&self, identity: &Identity, to: &mut impl Write) -> io::Result<()> {
        let mut sum = Xxh3Default::new();
        let mut put = |bytes: &[u8]| {
            sum.update(bytes);
            to.write_all(bytes)
        };
        let filter = self.filter();
        let Fill { capacity, keys, dead } = filter.fill();
        put(&of(identity))?;
        for number in [self.at.seq, self.at.nonce, capacity, keys, dead] {
            put(&number.to_le_bytes())?;
        }
        let mut chunk = Vec::with_capacity(CHUNK * BLOCK as usize);
        for blocks in filter.blocks().chunks(CHUNK) {
            chunk.clear();
            chunk.extend(blocks.iter().flat_map(Filter::words).flat_map(u64::to_le_bytes));
            put(&chunk)?;
        }
        let sum = sum.digest128().to_le_bytes();
        to.write_all(&sum)
    }
}

impl SavedFilter {
    /// Reads a snapshot, `length` bytes long, of this shard's filter.
    ///
    /// # Errors
    /// If it is of no use.
    pub fn read(
        identity: &Identity,
        length: u64,
        from: &mut impl Read,
    ) -> Result<Self, SnapshotFault> {
        let mut from = Summed { from, sum: Xxh3Default::new() };
        let expected = of(identity);
        let mut found = vec![0; expected.len()];
        // Shorter than a header: it is none.
        if length < HEADER + CHECKSUM {
            return Err(SnapshotFault::Unknown);
        }
        from.bytes(&mut found)?;
        let kind = MAGIC.len() + size_of_val(&VERSION);
        if found[..kind] != expected[..kind] {
            return Err(SnapshotFault::Unknown);
        }
        if found != expected {
            return Err(SnapshotFault::Foreign);
        }
        let at = Position { seq: from.number()?, nonce: from.number()? };
        let fill = Fill { capacity: from.number()?, keys: from.number()?, dead: from.number()? };
        // Before anything is reserved: a damaged number must not be believed.
        let count = (length - HEADER - CHECKSUM) / BLOCK;
        if length != HEADER + count * BLOCK + CHECKSUM || fill.blocks() != Some(count) {
            return Err(SnapshotFault::Damaged);
        }
        let mut blocks = Vec::new();
        blocks.try_reserve_exact(count as usize).map_err(|_| SnapshotFault::Damaged)?;
        let mut chunk = vec![0; CHUNK * BLOCK as usize];
        while (blocks.len() as u64) < count {
            let left = (count - blocks.len() as u64).min(CHUNK as u64);
            let chunk = &mut chunk[..(left * BLOCK) as usize];
            from.bytes(chunk)?;
            blocks.extend(chunk.chunks_exact(BLOCK as usize).map(block));
        }
        let computed = from.sum.digest128().to_le_bytes();
        let mut written = [0; CHECKSUM as usize];
        from.bytes(&mut written)?;
        match computed == written {
            true => Ok(Self { at, filter: Filter::restored(fill, blocks.into()) }),
            false => Err(SnapshotFault::Damaged),
        }
    }
}

/// Thirty-two bytes; fewer are taken for the first of them.
fn block(bytes: &[u8]) -> Block {
    let mut words = bytes.chunks_exact(8).map(|word| {
        let word = word.first_chunk().copied().unwrap_or_default();
        AtomicU64::new(u64::from_le_bytes(word))
    });
    std::array::from_fn(|_| words.next().unwrap_or_default())
}

/// What it is, and whose.
fn of(identity: &Identity) -> Vec<u8> {
    let mut slots = [0_u8; SLOT_BYTES];
    for slot in identity.slots.iter() {
        slots[usize::from(slot.get() / 8)] |= 1 << (slot.get() % 8);
    }
    [
        MAGIC.as_slice(),
        &VERSION.to_le_bytes(),
        &identity.shard.0.to_le_bytes(),
        &identity.shard_count.to_le_bytes(),
        &identity.cluster.0.to_le_bytes(),
        &slots,
    ]
    .concat()
}

/// Reads, and sums up what was read.
struct Summed<'a, R> {
    from: &'a mut R,
    sum: Xxh3Default,
}

impl<R: Read> Summed<'_, R> {
    fn bytes(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.from.read_exact(bytes)?;
        self.sum.update(bytes);
        Ok(())
    }

    fn number(&mut self) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
}
