//! Slots: the 4096 fixed buckets that shards own, and sets of them.

use super::Project;
use std::{fmt, str::FromStr};
use xxhash_rust::xxh3::Xxh3Default;

/// How many slots there are. Fixed for ever: every stored row carries its slot.
pub const SLOTS: u16 = 4096;

/// The hash of an id in its project: XXH3-64 (seed 0) over the project, 8 bytes big-endian, followed
/// by the id.
///
/// Frozen: its top 12 bits are the [`Slot`], which every stored row carries, so changing it would orphan
/// them all. `tests/golden/slots.txt` pins it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdHash(u64);

impl IdHash {
    pub fn of(project: Project, id: &[u8]) -> Self {
        // To clear the room for the longest id would cost as much as to hash a usual one.
        let short = hash_in::<64>(project, id);
        let hash = short.or_else(|| hash_in::<{ 8 + super::MAX_ID_BYTES }>(project, id));
        Self(hash.unwrap_or_else(|| {
            let mut hasher = Xxh3Default::new();
            hasher.update(&project.get().to_be_bytes());
            hasher.update(id);
            hasher.digest()
        }))
    }

    pub fn slot(self) -> Slot {
        Slot((self.0 >> 52) as u16)
    }

    pub fn get(self) -> u64 {
        self.0
    }
}

/// The hash, if project and id fit into `ROOM` bytes.
fn hash_in<const ROOM: usize>(project: Project, id: &[u8]) -> Option<u64> {
    let mut room = [0; ROOM];
    let input = room.get_mut(..8 + id.len())?;
    input[..8].copy_from_slice(&project.get().to_be_bytes());
    input[8..].copy_from_slice(id);
    Some(xxhash_rust::xxh3::xxh3_64(input))
}

/// One of the 4096 buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(u16);

impl Slot {
    /// The top 12 bits of the id's [hash](IdHash).
    pub fn of(project: Project, id: &[u8]) -> Self {
        IdHash::of(project, id).slot()
    }

    /// `None` for 4096 and above.
    pub fn new(slot: u16) -> Option<Self> {
        (slot < SLOTS).then_some(Self(slot))
    }

    pub fn get(self) -> u16 {
        self.0
    }

    pub fn all() -> impl Iterator<Item = Self> {
        (0..SLOTS).map(Self)
    }
}

/// A set of slots; as text, ranges: `0-1364,4000`.
#[derive(Clone, PartialEq, Eq)]
pub struct SlotSet([u64; SLOTS as usize / 64]);

impl SlotSet {
    pub const EMPTY: Self = Self([0; SLOTS as usize / 64]);

    pub fn all() -> Self {
        Self([u64::MAX; SLOTS as usize / 64])
    }

    /// The share of shard `shard` when all slots are dealt out evenly to `count` shards, in ranges.
    pub fn even_share(shard: u16, count: u16) -> Self {
        let bound = |n: u16| (u32::from(SLOTS) * u32::from(n) / u32::from(count)) as u16;
        let mut set = Self::EMPTY;
        for slot in bound(shard)..bound(shard + 1) {
            set.insert(Slot(slot));
        }
        set
    }

    pub fn insert(&mut self, slot: Slot) {
        self.0[usize::from(slot.0 / 64)] |= 1 << (slot.0 % 64);
    }

    pub fn contains(&self, slot: Slot) -> bool {
        self.0[usize::from(slot.0 / 64)] & (1 << (slot.0 % 64)) != 0
    }

    pub fn iter(&self) -> impl Iterator<Item = Slot> + '_ {
        Slot::all().filter(|&slot| self.contains(slot))
    }

    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Display for SlotSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut slots = self.iter().map(Slot::get).peekable();
        let mut comma = "";
        while let Some(first) = slots.next() {
            let mut last = first;
            while slots.next_if_eq(&(last + 1)).is_some() {
                last += 1;
            }
            match last == first {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{last}")?,
            }
            comma = ",";
        }
        Ok(())
    }
}

impl fmt::Debug for SlotSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SlotSet({self})")
    }
}

/// The text is not a list of slot ranges.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a list of slot ranges such as 0-1364,4000")]
pub struct NotSlots(String);

impl FromStr for SlotSet {
    type Err = NotSlots;

    fn from_str(text: &str) -> Result<Self, NotSlots> {
        let fault = || NotSlots(text.to_owned());
        let slot = |number: &str| number.parse().ok().and_then(Slot::new).ok_or_else(fault);
        let mut set = Self::EMPTY;
        for range in text.split(',').filter(|range| !range.is_empty()) {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last) = (slot(first)?, slot(last)?);
            if first > last {
                return Err(fault());
            }
            (first.0..=last.0).for_each(|n| set.insert(Slot(n)));
        }
        Ok(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_shares_own_every_slot_once() {
        for count in 1..=9 {
            let shares: Vec<_> = (0..count).map(|n| SlotSet::even_share(n, count)).collect();
            for slot in Slot::all() {
                assert_eq!(shares.iter().filter(|share| share.contains(slot)).count(), 1);
            }
        }
    }

    #[test]
    fn text_round_trips() {
        for text in ["", "0-4095", "0-1364,4000", "7,9-10,4095"] {
            assert_eq!(text.parse::<SlotSet>().expect(text).to_string(), text);
        }
        for bad in ["a", "4096", "3-1", "1-", "-"] {
            assert!(bad.parse::<SlotSet>().is_err(), "{bad}");
        }
    }
}
