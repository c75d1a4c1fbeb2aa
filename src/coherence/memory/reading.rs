//! Reading from memory: what a request may be told, and each of its ids.

use super::{Memory, Need};
use crate::coherence::cache::{Footprint, View};
use crate::coherence::filter::Filter;
use crate::coherence::flight::{Found, Source};
use crate::coherence::history::Standing;
use crate::domain::{IdHash, Position};
use crate::hooks;
use crate::sync::Guard;
use bytes::Bytes;
use std::sync::Arc;

/// What may be answered from memory for one need, for as long as a thread works on its ids without a
/// pause. All that is the same for each of them was looked at once, before the first: that it is fresh
/// enough, and that it has the token's position.
///
/// An id's answer is in three steps, [`is_surely_none`](Self::is_surely_none), [`touch`](Self::touch) and
/// [`entry`](Self::entry), so that many ids can take each step together: then their ways to the memory of
/// the machine, most of what an answer costs, are gone at the same time. (The idea is that of S. Chen and
/// others, "Improving Hash Join Performance through Prefetching", 2004.)
pub struct Reading<'a> {
    memory: &'a Memory,
    /// The epoch that the cursor is of.
    epoch: u64,
    /// For a reader with a token: where the feed was.
    cursor: Option<Position>,
    /// The filter that answered when the request came. Another that takes its place meanwhile knows more,
    /// but of nobody who has been told anything before this request came.
    filter: Guard<Option<Arc<Filter>>>,
}

impl Memory {
    /// `None` if memory may not answer (rule 6), or has not the token's position (rule 8).
    pub fn read(&self, need: &Need) -> Option<Reading<'_>> {
        if !self.freshness.is_within(self.limits.staleness, need.arrived)
            && !hooks::mutant("stale_served")
        {
            return None;
        }
        let epoch = self.epoch();
        // The token before the entries: a change that the feed applies in between is then in the entry.
        let cursor = self.reached(need)?;
        Some(Reading { memory: self, epoch, cursor, filter: self.filter.load() })
    }

    /// Answers from memory, if it knows and may say so. The key's footprint in the cache is wanted only
    /// where the filter does not answer.
    pub fn get(&self, hash: IdHash, place: impl Fn() -> Footprint, need: &Need) -> Option<Found> {
        if hooks::mutant("token_last") {
            let early = self.cache.get(place())?;
            let found = self.read(need)?.told(early.view())?;
            return Some(Found { canonical: early.canonical, source: found });
        }
        let reading = self.read(need)?;
        if reading.is_surely_none(hash) {
            return Some(Found { canonical: None, source: Source::Filtered });
        }
        let mut canonical = None;
        let copy = |id: &[u8]| canonical = Some(Bytes::copy_from_slice(id));
        let source = reading.entry(place(), copy)?;
        Some(Found { canonical, source })
    }

    /// For a reader with a token that this instance has applied: the cursor. `Some(None)` for a reader
    /// without one, `None` if the token is not applied here (yet).
    fn reached(&self, need: &Need) -> Option<Option<Position>> {
        let Some(mark) = need.mark else { return Some(None) };
        let history = self.history.lock();
        let reached = match hooks::mutant("token_seq_only") {
            true => history.cursor().is_some_and(|cursor| mark.seq <= cursor.seq),
            false => history.standing(mark) == Standing::Applied,
        };
        reached.then(|| history.cursor())
    }
}

impl Reading<'_> {
    /// Brings what [`is_surely_none`](Self::is_surely_none) needs into the processor's cache.
    pub fn touch_filter(&self, hash: IdHash) {
        if let Some(filter) = self.filter.as_deref() {
            filter.touch(hash);
        }
    }

    /// Whether the id is surely nobody's alias.
    pub fn is_surely_none(&self, hash: IdHash) -> bool {
        self.memory.rules_out(&self.filter, hash)
    }

    /// Brings what [`entry`](Self::entry) needs into the processor's cache.
    pub fn touch(&self, place: Footprint) {
        self.memory.cache.touch(place);
    }

    /// The answer of the entry of a key, if there is one that may be told. The canonical id of an alias is
    /// given to `canonical`, which copies it to where it belongs: a buffer of its own for each would cost
    /// more than the look.
    pub fn entry(&self, place: Footprint, canonical: impl FnOnce(&[u8])) -> Option<Source> {
        let Memory { cache, stripes, .. } = self.memory;
        let mut canonical = Some(canonical);
        let mut tell = |entry: View<'_>| {
            let source = self.told(entry)?;
            // Once at the most: what is in front is told, or what is behind.
            if let Some((id, canonical)) = entry.canonical.zip(canonical.take()) {
                canonical(id);
            }
            Some(source)
        };
        if let Some(told) = cache.read_front(place, &mut tell) {
            return told;
        }
        let entry = cache.get_behind(place)?;
        if hooks::mutant("copies_unlocked") {
            cache.copy_to_front(place, &entry);
        } else if cache.fits_front(&entry)
            && let Some(_stripe) = stripes.try_lock(place)
            && let Some(entry) = cache.get_behind(place)
        {
            // Read once more, and copied under the stripe's lock, like all that changes an entry. Who does
            // not get the lock at once leaves it to the next.
            cache.copy_to_front(place, &entry);
        }
        tell(entry.view())
    }

    /// What may be told of an entry.
    fn told(&self, entry: View<'_>) -> Option<Source> {
        // An entry ahead of the feed is of a history that nobody has checked yet: it serves no token.
        let serves = self.cursor.is_none_or(|cursor| entry.as_of <= cursor.seq)
            || hooks::mutant("ahead_serves_token");
        // The epoch last: what was asked before was the history of the entry's epoch, then.
        let may = serves && entry.epoch == self.epoch && self.epoch == self.memory.epoch();
        may.then_some(if entry.canonical.is_some() { Source::Hit } else { Source::NegativeHit })
    }
}
