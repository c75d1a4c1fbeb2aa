//! Sets of slots. A shard owns one.

use super::{SLOTS, Slot};
use std::{fmt, str::FromStr};

/// A set of slots. As text it is a list of ranges, such as `0-1364,4000`.
#[derive(Clone, PartialEq, Eq)]
pub struct SlotSet([u64; SLOTS as usize / 64]);

impl SlotSet {
    /// No slot.
    pub const EMPTY: Self = Self([0; SLOTS as usize / 64]);

    /// Every slot.
    pub fn all() -> Self {
        Self([u64::MAX; SLOTS as usize / 64])
    }

    /// The range of slots of shard `shard` when `count` shards share all slots evenly.
    pub fn even_share(shard: u16, count: u16) -> Self {
        let bound = |n: u16| (u32::from(SLOTS) * u32::from(n) / u32::from(count)) as u16;
        let mut set = Self::EMPTY;
        for slot in (bound(shard)..bound(shard + 1)).filter_map(Slot::new) {
            set.insert(slot);
        }
        set
    }

    /// Adds a slot.
    pub fn insert(&mut self, slot: Slot) {
        self.0[usize::from(slot.get() / 64)] |= 1 << (slot.get() % 64);
    }

    /// Whether the slot is in the set.
    #[inline]
    pub fn contains(&self, slot: Slot) -> bool {
        self.0[usize::from(slot.get() / 64)] & (1 << (slot.get() % 64)) != 0
    }

    /// The slots of the set, in order.
    pub fn iter(&self) -> impl Iterator<Item = Slot> + '_ {
        Slot::all().filter(|&slot| self.contains(slot))
    }

    /// How many slots are in the set.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether no slot is in the set.
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

/// This text is not a list of slot ranges.
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
            (first.get()..=last.get()).filter_map(Slot::new).for_each(|slot| set.insert(slot));
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
    fn a_set_is_read_back_from_its_text() {
        for text in ["", "0-4095", "0-1364,4000", "7,9-10,4095"] {
            assert_eq!(text.parse::<SlotSet>().expect(text).to_string(), text);
        }
        for bad in ["a", "4096", "3-1", "1-", "-"] {
            assert!(bad.parse::<SlotSet>().is_err(), "{bad}");
        }
    }
}
