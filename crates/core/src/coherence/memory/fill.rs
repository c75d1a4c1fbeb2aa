//! The cache is filled with what no reader asked for, while there is room (rule 3): with the aliases
//! that the filter's task reads anyway, and with those that an earlier process has saved.
//!
//! Nobody waits for them, so one that may not enter is left out, and nothing is dropped.
//! Invariant: each enters under the lock of its stripe.

use super::Memory;
use crate::coherence::entry::View;
use crate::coherence::footprint::Footprint;
use crate::coherence::law::{self, Landing, Standing};
use crate::coherence::saved_aliases::SavedAliases;
use crate::domain::{Claim, Id, Key, Position};
use crate::mutant::value;
use crate::sync::Ordering;

/// A page of the table of aliases that is about to be read.
#[derive(Clone, Copy, Debug)]
pub struct PendingPage {
    epoch: u64,
    polls: u64,
}

/// What [`Memory::fill_saved`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FillSaved {
    /// The feed is not where the aliases are yet. Try again.
    Waits,
    /// So many entered. Go on.
    Filled(usize),
    /// None is left, or none of them may enter any more.
    Over,
}

/// What counts for all aliases of a page.
struct Source {
    landing: Landing,
    epoch: u64,
    /// The cursor when the page had come.
    cursor: u64,
}

impl Memory {
    /// Begins a page. Call it before the page is asked for.
    pub fn begin_page(&self) -> PendingPage {
        PendingPage { epoch: self.epoch(), polls: self.polls_begun.load(Ordering::Acquire) }
    }

    /// Whether the cache has room for what no reader asked for. A part of it stays free.
    pub fn has_room(&self) -> bool {
        self.cache.settle();
        self.cache.has_room()
    }

    /// Fills the cache with a page of the table of aliases, which was read as of `at` from the
    /// server that says `claim` of itself. Returns how many of its rows entered.
    pub fn fill<'a>(
        &self,
        page: PendingPage,
        at: Position,
        claim: &Claim,
        rows: impl IntoIterator<Item = (&'a Key, &'a Id)>,
    ) -> usize {
        let source = Source {
            landing: Landing {
                seq: at.seq,
                same_epoch: true,
                standing: self.observe(at),
                fence: 0,
                overtaken: false,
                polled_since: page.polls != self.polls_begun.load(Ordering::Acquire),
                from_primary: law::is_primary(claim),
            },
            epoch: page.epoch,
            cursor: self.cursor().map_or(0, |cursor| cursor.seq),
        };
        let rows = rows.into_iter();
        rows.filter(|(key, canonical)| {
            self.fill_one(self.cache.footprint_of(key), canonical.as_bytes(), &source)
        })
        .count()
    }

    /// Fills the cache with the next `most` aliases that an earlier process has saved, and that were
    /// brought up to date.
    pub fn fill_saved(&self, saved: &mut SavedAliases, most: usize) -> FillSaved {
        match self.caught_up(saved.at) {
            Some(caught_up) if !law::may_fill_saved(caught_up) => return FillSaved::Waits,
            None => return FillSaved::Over,
            Some(_) => {}
        }
        let source = Source {
            // The feed follows the history that the position belongs to. So it does not matter
            // which server the aliases and their changes were read from.
            landing: Landing {
                seq: saved.at.seq,
                same_epoch: true,
                standing: Standing::Applied,
                fence: 0,
                overtaken: false,
                polled_since: false,
                from_primary: true,
            },
            epoch: saved.epoch,
            cursor: self.cursor().map_or(0, |cursor| cursor.seq),
        };
        if !self.has_room() {
            return FillSaved::Over;
        }
        let (mut seen, mut filled) = (0, 0);
        while seen < most
            && let Some((footprint, canonical)) = saved.next()
        {
            filled += usize::from(self.fill_one(footprint, &canonical, &source));
            seen += 1;
        }
        if seen == 0 { FillSaved::Over } else { FillSaved::Filled(filled) }
    }

    /// Keeps what is known of a key, if it may enter and there is room.
    fn fill_one(&self, footprint: Footprint, canonical: &[u8], source: &Source) -> bool {
        let stripe = self.stripes.lock(footprint);
        let epoch = value!(source.epoch, FillOfAnyEpoch => self.epoch());
        let landing = Landing {
            // Read under the stripe's lock, as for a load.
            same_epoch: epoch == self.epoch(),
            fence: stripe.fence,
            ..source.landing
        };
        let entry = View { canonical: Some(canonical), as_of: landing.seq, epoch };
        // An entry that is there is left where it is: somebody asked for it.
        law::may_fill(&landing, stripe.newest_load, source.cursor, !stripe.flights.is_empty())
            && !self.holds_entry(footprint)
            && self.cache.fill(footprint, entry)
    }

    /// Whether there is an entry of the present epoch.
    fn holds_entry(&self, footprint: Footprint) -> bool {
        // Whether there is any is asked first, because that does not count as a use.
        self.cache.holds(footprint) && self.held(footprint).is_some_and(|held| held.same_epoch)
    }
}
