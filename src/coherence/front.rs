//! A small table in front of the cache, one for each thread: the entries that it was asked for lately.
//!
//! A look into moka costs up to a microsecond where there are many entries: it takes a lock of its own,
//! counts the use, and misses the processor's cache several times. Most lookups of a skewed load are for
//! a few keys. Here they cost one line or two of a table that no other thread touches.
//!
//! Nobody tells this table that an entry has changed: each was copied at a version of its stripe, and
//! is good as long as the stripe has that version (see [`super::stripe`]).

use super::Footprint;
use super::cache::Entry;
use crate::hooks;
use std::cell::RefCell;
use thread_local::ThreadLocal;

/// An entry as it was at a version of its stripe.
struct Copied {
    place: Footprint,
    version: u64,
    entry: Entry,
}

/// The tables of all threads.
pub(super) struct Fronts {
    tables: ThreadLocal<RefCell<Box<[Option<Copied>]>>>,
    slots: usize,
}

impl Fronts {
    /// Tables of `slots` entries each; without slots nothing is kept.
    pub fn new(slots: usize) -> Self {
        Self { tables: ThreadLocal::new(), slots }
    }

    /// The entry, if this thread has a copy of this version.
    pub fn get(&self, place: Footprint, version: u64) -> Option<Entry> {
        let table = self.tables.get()?.borrow();
        let copied = table.get(self.slot(place)?)?.as_ref()?;
        let good = copied.version == version || hooks::mutant("front_ignores_version");
        (copied.place == place && good).then(|| copied.entry.clone())
    }

    /// Keeps a copy, in place of whatever had its slot.
    pub fn put(&self, place: Footprint, version: u64, entry: &Entry) {
        let Some(slot) = self.slot(place) else { return };
        let empty = || RefCell::new((0..self.slots).map(|_| None).collect());
        let mut table = self.tables.get_or(empty).borrow_mut();
        if let Some(slot) = table.get_mut(slot) {
            *slot = Some(Copied { place, version, entry: entry.detached() });
        }
    }

    fn slot(&self, place: Footprint) -> Option<usize> {
        // Neither the bits of the stripe nor those that the filter scales: any would do.
        ((place.check() >> 7) as usize).checked_rem(self.slots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_good_for_its_version_alone() {
        let fronts = Fronts::new(8);
        let entry = Entry { canonical: None, as_of: 1, epoch: 1 };
        let place = Footprint::of(9, 9);
        assert!(fronts.get(place, 2).is_none());
        fronts.put(place, 2, &entry);
        assert!(fronts.get(place, 2).is_some());
        assert!(fronts.get(place, 4).is_none());
        assert!(fronts.get(Footprint::of(9, 10), 2).is_none());
        Fronts::new(0).put(place, 2, &entry);
    }
}
