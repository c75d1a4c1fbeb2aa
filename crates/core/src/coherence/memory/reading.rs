//! Readers ask memory (rules 6, 7, 8).
//!
//! Invariant: freshness and token are the same for all ids of a request. They are checked once,
//! before the first entry is read.

use super::{Memory, Need};
use crate::coherence::answer::{Found, Outcome};
use crate::coherence::entry::View;
use crate::coherence::filter::Filter;
use crate::coherence::footprint::Footprint;
use crate::coherence::law;
use crate::domain::{IdHash, Position};
use crate::mutant::{sabotage, step};
use crate::sync::Guard;
use bytes::Bytes;
use std::sync::Arc;

/// A memory that may answer a request. Use it for one pass over the request's ids, without an
/// await.
///
/// An id is answered in three steps: [`is_surely_none`](Self::is_surely_none),
/// [`touch`](Self::touch) and [`entry`](Self::entry). A batch takes each step for many ids before
/// the next step, so that their accesses to the machine's memory overlap. Waiting for those is most
/// of what an answer costs. (The idea is that of S. Chen and others, "Improving Hash Join
/// Performance through Prefetching", 2004.)
pub struct Reading<'a> {
    memory: &'a Memory,
    /// The epoch that the cursor belongs to.
    epoch: u64,
    /// The cursor, for a reader with a token.
    cursor: Option<Position>,
    /// The filter that answered when the reading began. Another one may have taken its place since.
    /// Every alias that anybody was told of before this request came is in both.
    filter: Guard<Option<Arc<Filter>>>,
}

impl Memory {
    /// Begins to answer a request from memory. `None` if memory is not fresh enough (rule 6), or
    /// has not applied the token's position (rule 8).
    #[inline]
    pub fn read(&self, need: &Need) -> Option<Reading<'_>> {
        if !law::may_answer(self.freshness.age(need.arrived), self.limits.staleness) {
            return None;
        }
        let epoch = self.epoch();
        // The token is checked before an entry is read. A change that the feed applies in between
        // is then in the entry.
        let cursor = self.reached(need)?;
        Some(Reading { memory: self, epoch, cursor, filter: self.filters.answering() })
    }

    /// Answers one id from memory, if that is possible. The footprint is computed only if the
    /// filter does not answer.
    pub fn get(
        &self,
        hash: IdHash,
        footprint: impl Fn() -> Footprint,
        need: &Need,
    ) -> Option<Found> {
        sabotage!(TokenLast => {
            let entry = self.cache.get(footprint())?;
            let outcome = self.read(need)?.told(entry.view())?;
            return Some(Found { canonical: entry.canonical, outcome });
        });
        let reading = self.read(need)?;
        if reading.is_surely_none(hash) {
            return Some(Found { canonical: None, outcome: Outcome::Filtered });
        }
        let mut canonical = None;
        let copy = |id: &[u8]| canonical = Some(Bytes::copy_from_slice(id));
        let outcome = reading.entry(footprint(), copy)?;
        Some(Found { canonical, outcome })
    }

    /// Whether the filter says that the id is surely not an alias.
    pub(super) fn is_surely_none(&self, hash: IdHash) -> bool {
        self.rules_out(&self.filters.answering(), hash)
    }

    /// Whether this filter says that the id is surely not an alias. That holds for the cursor at
    /// the time when the filter was taken, or for a later one. An alias that became known since is
    /// in this filter or in the one that took its place.
    #[inline]
    fn rules_out(&self, filter: &Option<Arc<Filter>>, hash: IdHash) -> bool {
        filter.as_deref().is_some_and(|filter| {
            let may_hold = filter.may_hold(hash);
            // The epoch is read last, so the filter was asked within it.
            law::rules_out(filter.is_ready(), may_hold, filter.epoch == self.epoch())
        })
    }

    /// Copies an entry from moka to the hot table. It is read again under the stripe's lock. If the
    /// lock is taken, the copy is left to the next reader.
    fn copy_to_hot_table(&self, footprint: Footprint) {
        if let Some(_stripe) = self.stripes.try_lock(footprint)
            && let Some(entry) = self.cache.get_from_moka(footprint)
        {
            self.cache.copy_to_hot_table(footprint, &entry);
        }
    }

    /// The cursor, for a reader whose token is applied here. `Some(None)`: the reader has no token.
    /// `None`: its token is not applied.
    #[inline]
    fn reached(&self, need: &Need) -> Option<Option<Position>> {
        let Some(mark) = need.mark else { return Some(None) };
        let history = self.history.lock();
        law::has_applied_token(history.standing(mark)).then(|| history.cursor())
    }
}

impl Reading<'_> {
    /// Brings what [`is_surely_none`](Self::is_surely_none) needs into the processor's cache.
    #[inline]
    pub fn touch_filter(&self, hash: IdHash) {
        if let Some(filter) = self.filter.as_deref() {
            filter.touch(hash);
        }
    }

    /// Whether the id is surely not an alias.
    #[inline]
    pub fn is_surely_none(&self, hash: IdHash) -> bool {
        self.memory.rules_out(&self.filter, hash)
    }

    /// Brings what [`entry`](Self::entry) needs into the processor's cache.
    #[inline]
    pub fn touch(&self, footprint: Footprint) {
        self.memory.cache.touch(footprint);
    }

    /// Answers a key from its entry. `None` if there is no entry that the reader may be told.
    ///
    /// The canonical id of an alias is given to `canonical`, which copies it to where it is needed.
    /// A buffer for each canonical id would cost more than the lookup.
    #[inline]
    pub fn entry(&self, footprint: Footprint, canonical: impl FnOnce(&[u8])) -> Option<Outcome> {
        let cache = &self.memory.cache;
        let mut canonical = Some(canonical);
        // Called at most once: with the entry of the hot table, or else with that of moka.
        let mut tell = |entry: View<'_>| {
            let outcome = self.told(entry)?;
            if let Some((id, canonical)) = entry.canonical.zip(canonical.take()) {
                canonical(id);
            }
            Some(outcome)
        };
        if let Some(told) = cache.read_hot(footprint, &mut tell) {
            return told;
        }
        let entry = cache.get_from_moka(footprint)?;
        sabotage!(CopiesUnlocked => cache.copy_to_hot_table(footprint, &entry));
        if cache.fits_hot_table(&entry) {
            step!(CopiesUnlocked => self.memory.copy_to_hot_table(footprint));
        }
        tell(entry.view())
    }

    /// The outcome, if the reader may be told the entry.
    #[inline]
    fn told(&self, entry: View<'_>) -> Option<Outcome> {
        // Memory's epoch is read last. So the cursor and the entry belong to the same epoch.
        let same_epoch = entry.epoch == self.epoch && self.epoch == self.memory.epoch();
        let outcome = if entry.canonical.is_some() { Outcome::Hit } else { Outcome::NegativeHit };
        law::may_tell(entry.as_of, same_epoch, self.cursor).then_some(outcome)
    }
}
