//! The filter's task reads the table of aliases anyway. What it reads fills the cache, while there
//! is room (rule 3).
//!
//! Nobody waits for these rows, so one that may not enter is left out, and nothing is dropped.
//! Invariant: a row enters under the lock of its stripe.

use super::Memory;
use crate::coherence::entry::View;
use crate::coherence::footprint::Footprint;
use crate::coherence::law::{self, Landing};
use crate::domain::{Claim, Id, Key, Position};
use crate::mutant::value;
use crate::sync::Ordering;

/// A page of the table of aliases that is about to be read.
#[derive(Clone, Copy, Debug)]
pub struct PendingPage {
    epoch: u64,
    polls: u64,
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
        let landing = Landing {
            seq: at.seq,
            same_epoch: true,
            standing: self.observe(at),
            fence: 0,
            overtaken: false,
            polled_since: page.polls != self.polls_begun.load(Ordering::Acquire),
            from_primary: law::is_primary(claim),
        };
        let rows = rows.into_iter();
        rows.filter(|(key, canonical)| {
            let footprint = self.cache.footprint_of(key);
            self.fill_one(footprint, canonical.as_bytes(), &landing, page.epoch)
        })
        .count()
    }

    /// Keeps what is known of a key as of a position, if it may enter and there is room.
    /// `landing`: what counts for all keys of the position.
    pub(super) fn fill_one(
        &self,
        footprint: Footprint,
        canonical: &[u8],
        landing: &Landing,
        epoch: u64,
    ) -> bool {
        let stripe = self.stripes.lock(footprint);
        let epoch = value!(epoch, FillOfAnyEpoch => self.epoch());
        let landing = Landing {
            // Read under the stripe's lock, as for a load.
            same_epoch: epoch == self.epoch(),
            fence: stripe.fence,
            ..*landing
        };
        let entry = View { canonical: Some(canonical), as_of: landing.seq, epoch };
        // An entry that is there is left where it is: somebody asked for it.
        law::may_fill(&landing, stripe.newest_load, !stripe.flights.is_empty())
            && !self.holds_entry(footprint)
            && self.cache.fill(footprint, entry)
    }

    /// Whether there is an entry of the present epoch.
    fn holds_entry(&self, footprint: Footprint) -> bool {
        // Whether there is any is asked first, because that does not count as a use.
        self.cache.holds(footprint) && self.held(footprint).is_some_and(|held| held.same_epoch)
    }
}
