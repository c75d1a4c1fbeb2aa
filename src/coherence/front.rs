//! A small table in front of the cache, one for each thread: the entries that it was asked for lately.
//!
//! A look into moka costs up to a microsecond where there are many entries: it takes a lock of its own,
//! counts the use, and misses the processor's cache several times. Here an entry costs a line of tags
//! and the two lines that the copy lies in, with its id, and no other thread touches them.
//!
//! Nobody tells this table that an entry has changed: each was copied at a version of its stripe, and
//! is good as long as the stripe has that version (see [`super::stripe`]).

use super::Footprint;
use super::cache::{Entry, View};
use crate::hooks;
use std::cell::{Ref, RefCell};
use thread_local::ThreadLocal;

/// Places that a key may take. Keys meet by chance: of as many keys as there are slots, a table with one
/// place for each lacks more than a third, with four a fifth, with eight a seventh.
const WAYS: usize = 8;

/// The longest canonical id that is copied: what is left of two lines of the processor's cache.
const LONGEST: usize = 86;

/// No version is odd.
const NEVER: u64 = 1;

/// An entry as it was at a version of its stripe. In this order all of it is in one line of the
/// processor's cache, where the id is short.
#[repr(C, align(64))]
pub(super) struct Copied {
    place: Footprint,
    version: u64,
    as_of: u64,
    epoch: u64,
    is_alias: bool,
    length: u8,
    id: [u8; LONGEST],
}

/// What a slot takes, in bytes.
pub(super) const SLOT_BYTES: u64 = (size_of::<Copied>() + size_of::<u32>()) as u64;

impl Copied {
    const NOTHING: Self = Self {
        place: Footprint::ZERO,
        version: NEVER,
        as_of: 0,
        epoch: 0,
        is_alias: false,
        length: 0,
        id: [0; LONGEST],
    };

    pub fn view(&self) -> View<'_> {
        let canonical = self.is_alias.then(|| &self.id[..usize::from(self.length)]);
        View { canonical, as_of: self.as_of, epoch: self.epoch }
    }
}

/// The table of one thread.
struct Table {
    /// A part of each footprint, side by side: only a copy that is most likely the right one is looked at.
    tags: Box<[[u32; WAYS]]>,
    copies: Box<[[Copied; WAYS]]>,
    /// Which way of a full set goes next. Taking turns is as good as chance.
    turn: usize,
}

/// The tables of all threads.
pub(super) struct Fronts {
    tables: ThreadLocal<RefCell<Table>>,
    sets: usize,
}

impl Fronts {
    /// Tables of `slots` entries each; without slots nothing is kept.
    pub fn new(slots: usize) -> Self {
        Self { tables: ThreadLocal::new(), sets: slots / WAYS }
    }

    /// The entry, if this thread has a copy of this version.
    pub fn get(&self, place: Footprint, version: u64) -> Option<Ref<'_, Copied>> {
        let table = self.tables.get()?.borrow();
        let (set, tag) = (self.set(place)?, tag(place));
        Ref::filter_map(table, |table| {
            let ways = table.tags.get(set)?.iter().zip(table.copies.get(set)?);
            let mut same = ways.filter(|(other, copied)| **other == tag && copied.place == place);
            let (_, copied) = same.next()?;
            let good = copied.version == version
                || (copied.version != NEVER && hooks::mutant("front_ignores_version"));
            good.then_some(copied)
        })
        .ok()
    }

    /// Keeps a copy, in place of an older one of the key, or of whatever has had its turn.
    pub fn put(&self, place: Footprint, version: u64, entry: &Entry) {
        let Some(set) = self.set(place) else { return };
        let mut canonical = [0; LONGEST];
        let id = entry.canonical.as_deref().unwrap_or_default();
        let Some(room) = canonical.get_mut(..id.len()) else { return };
        room.copy_from_slice(id);
        let empty = || RefCell::new(Table::new(self.sets));
        let mut table = self.tables.get_or(empty).borrow_mut();
        table.turn = (table.turn + 1) % WAYS;
        let turn = table.turn;
        let (Table { tags, copies, .. }, tag) = (&mut *table, tag(place));
        let (Some(tags), Some(copies)) = (tags.get_mut(set), copies.get_mut(set)) else { return };
        let way = copies
            .iter()
            .position(|copied| copied.place == place)
            .or_else(|| copies.iter().position(|copied| copied.version == NEVER))
            .unwrap_or(turn);
        tags[way] = tag;
        copies[way] = Copied {
            place,
            version,
            as_of: entry.as_of,
            epoch: entry.epoch,
            is_alias: entry.canonical.is_some(),
            length: id.len() as u8,
            id: canonical,
        };
    }

    fn set(&self, place: Footprint) -> Option<usize> {
        // Neither the bits of the stripe nor those that the filter scales: any would do.
        ((place.check() >> 32) as usize).checked_rem(self.sets)
    }
}

impl Table {
    fn new(sets: usize) -> Self {
        Self {
            tags: (0..sets).map(|_| [0; WAYS]).collect(),
            copies: (0..sets).map(|_| [Copied::NOTHING; WAYS]).collect(),
            turn: 0,
        }
    }
}

/// The bits that do not choose the set.
fn tag(place: Footprint) -> u32 {
    place.check() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn entry(id: Option<&[u8]>) -> Entry {
        Entry { canonical: id.map(Bytes::copy_from_slice), as_of: 1, epoch: 1 }
    }

    /// The copy's canonical id.
    fn copied(fronts: &Fronts, place: Footprint, version: u64) -> Option<Option<Vec<u8>>> {
        fronts.get(place, version).map(|copied| copied.view().canonical.map(<[u8]>::to_vec))
    }

    #[test]
    fn a_copy_is_good_for_its_version_alone() {
        let fronts = Fronts::new(8);
        let place = Footprint::of(9, 9);
        assert!(copied(&fronts, place, 2).is_none());
        fronts.put(place, 2, &entry(None));
        assert_eq!(copied(&fronts, place, 2), Some(None));
        assert!(copied(&fronts, place, 4).is_none());
        assert!(copied(&fronts, Footprint::of(9, 10), 2).is_none());
        // The same tag and set.
        assert!(copied(&fronts, Footprint::of(10, 9), 2).is_none());
        fronts.put(place, 4, &entry(Some(b"alice")));
        assert_eq!(copied(&fronts, place, 4), Some(Some(b"alice".to_vec())));
        Fronts::new(0).put(place, 2, &entry(None));
    }

    #[test]
    fn nothing_is_no_entry_of_the_key_that_is_all_zero() {
        let fronts = Fronts::new(8);
        fronts.put(Footprint::of(9, 9), 2, &entry(None));
        assert!(copied(&fronts, Footprint::ZERO, 0).is_none());
        fronts.put(Footprint::ZERO, 0, &entry(None));
        assert!(copied(&fronts, Footprint::ZERO, 0).is_some());
    }

    #[test]
    fn keys_that_meet_have_a_place_each_until_the_set_is_full() {
        let fronts = Fronts::new(WAYS);
        let places: Vec<_> = (1..=2 * WAYS as u64).map(|n| Footprint::of(n, n)).collect();
        let held = || places.iter().filter(|place| copied(&fronts, **place, 2).is_some()).count();
        for (place, count) in places.iter().zip(1..) {
            // Twice: a key has one place.
            fronts.put(*place, 0, &entry(None));
            fronts.put(*place, 2, &entry(None));
            assert_eq!(held(), count.min(WAYS));
            assert!(copied(&fronts, *place, 2).is_some());
        }
    }

    #[test]
    fn what_is_too_long_is_left_to_the_cache() {
        let fronts = Fronts::new(8);
        for length in [1, LONGEST, LONGEST + 1, 255] {
            let (place, id) = (Footprint::of(1, length as u64), vec![b'x'; length]);
            fronts.put(place, 2, &entry(Some(&id)));
            let kept = copied(&fronts, place, 2);
            assert_eq!(kept, (length <= LONGEST).then_some(Some(id)));
        }
    }

    #[test]
    fn a_copy_takes_two_lines() {
        assert_eq!(size_of::<Copied>(), 128);
    }
}
