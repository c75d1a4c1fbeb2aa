//! Reading from memory: what a request may be told, and each of its ids.

use super::{Memory, Need};
use crate::coherence::entry::{Entry, View};
use crate::coherence::filter::Filter;
use crate::coherence::flight::{Found, Outcome};
use crate::coherence::footprint::Footprint;
use crate::coherence::law;
use crate::domain::{IdHash, Position};
use crate::mutant::{sabotage, step};
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
        if !law::may_answer(self.freshness.age(need.arrived), self.limits.staleness) {
            return None;
        }
        let epoch = self.epoch();
        // The token before the entries: a change that the feed applies in between is then in the entry.
        let cursor = self.reached(need)?;
        Some(Reading { memory: self, epoch, cursor, filter: self.filter.load() })
    }

    /// Answers from memory, if it knows and may say so. The key's footprint in the cache is wanted only
    /// where the filter does not answer.
    pub fn get(
        &self,
        hash: IdHash,
        footprint: impl Fn() -> Footprint,
        need: &Need,
    ) -> Option<Found> {
        sabotage!(TokenLast => return self.get_before_token(footprint(), need));
        let reading = self.read(need)?;
        if reading.is_surely_none(hash) {
            return Some(Found { canonical: None, outcome: Outcome::Filtered });
        }
        let mut canonical = None;
        let copy = |id: &[u8]| canonical = Some(Bytes::copy_from_slice(id));
        let outcome = reading.entry(footprint(), copy)?;
        Some(Found { canonical, outcome })
    }

    /// Copies an entry that was found in moka alone. It is read once more and copied under the stripe's lock,
    /// like all that changes an entry. Where the lock is taken the copy is left to the next reader.
    fn copy_to_hot_table(&self, footprint: Footprint) {
        if let Some(_stripe) = self.stripes.try_lock(footprint)
            && let Some(entry) = self.cache.get_from_moka(footprint)
        {
            self.cache.copy_to_hot_table(footprint, &entry);
        }
    }

    /// For a reader with a token that this instance has applied: the cursor. `Some(None)` for a reader
    /// without one, `None` if the token is not applied here (yet).
    fn reached(&self, need: &Need) -> Option<Option<Position>> {
        let Some(mark) = need.mark else { return Some(None) };
        let history = self.history.lock();
        let mut reached = law::has_applied_token(history.standing(mark));
        sabotage!(TokenSeqOnly => {
            reached = history.cursor().is_some_and(|cursor| mark.seq <= cursor.seq);
        });
        reached.then(|| history.cursor())
    }

    /// What the mutant `TokenLast` does: it asks for the token after it has read the entry.
    fn get_before_token(&self, footprint: Footprint, need: &Need) -> Option<Found> {
        let Entry { canonical, as_of, epoch } = self.cache.get(footprint)?;
        let view = View { canonical: canonical.as_deref(), as_of, epoch };
        let outcome = self.read(need)?.told(view)?;
        Some(Found { canonical, outcome })
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
    pub fn touch(&self, footprint: Footprint) {
        self.memory.cache.touch(footprint);
    }

    /// The answer of the entry of a key, if there is one that may be told. The canonical id of an alias is
    /// given to `canonical`, which copies it to where it belongs: a buffer of its own for each would cost
    /// more than the look.
    pub fn entry(&self, footprint: Footprint, canonical: impl FnOnce(&[u8])) -> Option<Outcome> {
        let cache = &self.memory.cache;
        let mut canonical = Some(canonical);
        let mut tell = |entry: View<'_>| {
            let source = self.told(entry)?;
            // Once at the most: what is in front is told, or what is behind.
            if let Some((id, canonical)) = entry.canonical.zip(canonical.take()) {
                canonical(id);
            }
            Some(source)
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

    /// What may be told of an entry.
    fn told(&self, entry: View<'_>) -> Option<Outcome> {
        // The epoch last: what was asked before was the history of the entry's epoch, then.
        let may = law::may_tell(entry.as_of, self.cursor)
            && entry.epoch == self.epoch
            && self.epoch == self.memory.epoch();
        may.then_some(if entry.canonical.is_some() { Outcome::Hit } else { Outcome::NegativeHit })
    }
}
