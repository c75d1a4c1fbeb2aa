//! The snapshot: a filter as bytes on disk, with the aliases that were asked for lately. It spares the
//! next process a scan, and its first lookups their queries.
//!
//! ```text
//! magic, version                    that this is a filter of this format
//! shard, shards, cluster, slots     whose aliases it holds
//! seq, nonce                        the position that the bits are complete up to
//! capacity, keys, dead              how full it is
//! mark of the cache's key           whose footprints the aliases have
//! length                            of the aliases, in bytes
//! blocks                            the bits, 32 bytes for each block
//! aliases                           see `saved_aliases`
//! checksum                          XXH3-128 of all bytes before
//! ```
//!
//! Numbers are little-endian.
//!
//! Invariant: a filter is used only after three checks. The checksum shows that the bytes are those
//! that were written. The identity shows that they belong to this shard. The change log shows that
//! the position belongs to the shard's history; [`Memory::replay`](super::Memory::replay) does this
//! check.
//!
//! The folder must be as well protected as the database. A forged filter could hide aliases.

#[cfg(test)]
mod tests;

use super::cache::Cache;
use super::filter::{Block, Fill, Filter};
use super::saved_aliases::{self, MOST_BYTES};
use crate::domain::{Identity, Position};
use crate::sync::AtomicU64;
use std::io::{self, Read, Write};
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3Default;

const MAGIC: [u8; 8] = *b"aka-flt\n";

/// The version of the format. Raise it when the format changes, or when a key gets other bits. A
/// test notices both.
const VERSION: u32 = 2;

const HEADER: u64 = 8 + 4 + 2 + 2 + 8 + SLOT_BYTES as u64 + 7 * 8;
const SLOT_BYTES: usize = crate::domain::SLOTS as usize / 8;
const CHECKSUM: u64 = 16;
const BLOCK: u64 = 32;

/// How many blocks are read or written at once.
const CHUNK: usize = 2_048;

/// Why a snapshot cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotFault {
    /// The file cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// It is something else, or of another version of the format.
    #[error("it is no snapshot of this version")]
    Unknown,
    /// It holds the aliases of another shard, or of other slots.
    #[error("it belongs to another shard, or to other slots")]
    Foreign,
    /// Its bytes are not those that were written, or it does not fit into memory.
    #[error("it is damaged")]
    Damaged,
}

/// The filter that answers, to be saved.
pub struct FilterImage {
    /// The position that the bits are complete up to.
    pub at: Position,
    pub(super) epoch: u64,
    pub(super) filter: Arc<Filter>,
    pub(super) cache: Arc<Cache>,
}

/// A filter that was saved.
pub struct SavedFilter {
    /// The position that the bits are complete up to.
    pub at: Position,
    pub(super) filter: Filter,
    pub(super) key_mark: u64,
    pub(super) aliases: Vec<u8>,
}

impl FilterImage {
    /// Writes a snapshot of the filter of this shard.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn write(&self, identity: &Identity, to: &mut impl Write) -> io::Result<()> {
        let mut sum = Xxh3Default::new();
        let mut put = |bytes: &[u8]| {
            sum.update(bytes);
            to.write_all(bytes)
        };
        let Fill { capacity, keys, dead } = self.filter.fill();
        let aliases = saved_aliases::collect(&self.cache, self.epoch, self.at.seq);
        let (mark, length) = (self.cache.key_mark(), aliases.len() as u64);
        put(&heading(identity))?;
        for number in [self.at.seq, self.at.nonce, capacity, keys, dead, mark, length] {
            put(&number.to_le_bytes())?;
        }
        let mut chunk = Vec::with_capacity(CHUNK * BLOCK as usize);
        for blocks in self.filter.blocks().chunks(CHUNK) {
            chunk.clear();
            chunk.extend(blocks.iter().flat_map(Filter::words).flat_map(u64::to_le_bytes));
            put(&chunk)?;
        }
        put(&aliases)?;
        let sum = sum.digest128().to_le_bytes();
        to.write_all(&sum)
    }
}

impl SavedFilter {
    /// Reads a snapshot of the filter of this shard, `length` bytes long.
    ///
    /// # Errors
    /// If it cannot be used.
    pub fn read(
        identity: &Identity,
        length: u64,
        from: &mut impl Read,
    ) -> Result<Self, SnapshotFault> {
        let mut from = SummingReader { from, sum: Xxh3Default::new() };
        let expected = heading(identity);
        let mut found = vec![0; expected.len()];
        // A shorter file lacks parts that every snapshot has.
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
        let (key_mark, alias_bytes) = (from.number()?, from.number()?);
        // Checked before the memory is reserved, because a damaged number may be very large.
        let bits = (length - HEADER - CHECKSUM).checked_sub(alias_bytes);
        let count = bits.ok_or(SnapshotFault::Damaged)? / BLOCK;
        let whole = HEADER + count * BLOCK + alias_bytes + CHECKSUM;
        if length != whole || fill.blocks() != Some(count) || alias_bytes > MOST_BYTES as u64 {
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
        let mut aliases = vec![0; alias_bytes as usize];
        from.bytes(&mut aliases)?;
        let computed = from.sum.digest128().to_le_bytes();
        let mut written = [0; CHECKSUM as usize];
        from.bytes(&mut written)?;
        match computed == written {
            true => {
                let filter = Filter::restored(fill, blocks.into());
                Ok(Self { at, filter, key_mark, aliases })
            }
            false => Err(SnapshotFault::Damaged),
        }
    }
}

/// The block of these 32 bytes. If bytes are missing, they are 0.
fn block(bytes: &[u8]) -> Block {
    let mut words = bytes.chunks_exact(8).map(|word| {
        let word = word.first_chunk().copied().unwrap_or_default();
        AtomicU64::new(u64::from_le_bytes(word))
    });
    std::array::from_fn(|_| words.next().unwrap_or_default())
}

/// The first part of a snapshot: the format, and the shard that the filter belongs to.
fn heading(identity: &Identity) -> Vec<u8> {
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

/// A reader that computes the checksum of what it reads.
struct SummingReader<'a, R> {
    from: &'a mut R,
    sum: Xxh3Default,
}

impl<R: Read> SummingReader<'_, R> {
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
