//! Following a shard's history: looks at its change log, and the epochs that end one history and begin
//! another (rules 2, 6, 7).

use super::{Memory, Standing};
use crate::clock::Boottime;
use crate::coherence::cache::{Entry, detached};
use crate::domain::{Change, Position};
use crate::hooks;
use crate::store::Look;
use crate::sync::Ordering;

/// A look that is about to begin.
pub struct LookAhead {
    started: Boottime,
    epoch: u64,
    greatest: u64,
    /// From where to look; `None`: only the clock is wanted.
    pub cursor: Option<Position>,
}

/// How a look ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookEnd {
    /// All changes are applied; so many.
    Complete(usize),
    /// More changes are waiting: look again at once.
    More(usize),
    /// A new epoch began, for this reason.
    NewEpoch(&'static str),
}

/// What came of one change of a look.
enum Applied {
    Yes,
    /// Another epoch began: the look is worthless.
    OtherEpoch,
    Contradiction,
}

impl Memory {
    /// A look is about to be sent.
    pub fn look(&self, now: Boottime) -> LookAhead {
        let history = self.history.lock();
        self.looks_begun.fetch_add(1, Ordering::AcqRel);
        LookAhead {
            started: now,
            epoch: self.epoch(),
            greatest: history.greatest(),
            cursor: history.cursor(),
        }
    }

    /// A look was answered (rules 2, 6, 7).
    pub fn looked(&self, ahead: &LookAhead, look: &Look) -> LookEnd {
        if ahead.epoch != self.epoch() {
            // Somebody else began an epoch meanwhile; the next look belongs to it.
            return LookEnd::More(0);
        }
        // Compared with what was brought before the look began: a write that was committed after
        // the look's snapshot is no contradiction.
        if look.at.seq < ahead.greatest && !hooks::mutant("clock_may_go_back") {
            return self.contradicted("the shard's clock went back");
        }
        let Some(cursor) = ahead.cursor else {
            return self.start(look.at, ahead);
        };
        let mut changes = look.changes.as_slice();
        match changes.split_first() {
            Some((first, rest))
                if first.at == cursor
                    || (first.at.seq == cursor.seq && hooks::mutant("nonce_ignored_at_cursor")) =>
            {
                changes = rest;
            }
            Some((first, _)) if first.at.seq == cursor.seq => {
                return self.contradicted("the log holds another change at the cursor");
            }
            _ if hooks::mutant("pruned_is_fine") => {}
            // Before the first change there is none to compare, only the clock.
            _ if cursor.seq == 0 && (look.at.seq > 0 || look.at == cursor) => {}
            _ => return self.contradicted("the log was pruned past the cursor"),
        }
        for (change, expected) in changes.iter().zip(cursor.seq + 1..) {
            if change.at.seq != expected && !hooks::mutant("pruned_is_fine") {
                return self.contradicted("the log has a gap");
            }
            match self.apply(change, ahead.epoch) {
                Applied::Yes => {}
                Applied::OtherEpoch => return LookEnd::More(0),
                Applied::Contradiction => {
                    return self.contradicted("the log holds a change that others saw differently");
                }
            }
        }
        if changes.last().map_or(cursor, |change| change.at) != look.at {
            return match changes.len() {
                0 => self.contradicted("the log does not reach the shard's clock"),
                count => {
                    if hooks::mutant("fresh_when_partial") {
                        self.freshness.looked_at(ahead.started);
                    }
                    LookEnd::More(count)
                }
            };
        }
        let history = self.history.lock();
        if ahead.epoch != self.epoch() {
            return LookEnd::More(0);
        }
        self.freshness.looked_at(hooks::time("fresh_at_end", ahead.started));
        self.let_filters_answer(look.at.seq);
        drop(history);
        LookEnd::Complete(changes.len())
    }

    /// Applies one change: the fence first, then the entry, then the cursor.
    fn apply(&self, change: &Change, epoch: u64) -> Applied {
        let (key, seq) = (&change.alias, change.at.seq);
        let place = self.cache.footprint_of(key);
        let mut stripe = self.stripes.lock(place);
        // Each time under the lock: a lane may have begun another epoch since the look ended.
        if epoch != self.epoch() {
            return Applied::OtherEpoch;
        }
        match change.new {
            Some(_) if hooks::mutant("filter_misses_feed") => {}
            Some(_) => self.add_to_filters(key.id_hash()),
            None => self.deleted_from_filters(),
        }
        // A load that is out and read an earlier state must not enter after this.
        let entry = self.cache.get(place);
        let fenced = entry.is_some() || !hooks::mutant("fence_with_entry");
        if fenced && !hooks::mutant("feed_no_fence") {
            stripe.raise(key, seq);
        }
        let entry = entry.filter(|_| !hooks::mutant("feed_skips_entries"));
        if let Some(entry) = entry.filter(|entry| entry.as_of < seq) {
            if entry.epoch == epoch {
                let canonical = detached(change.new.as_ref());
                self.cache.put(place, Entry { canonical, as_of: seq, epoch });
            } else {
                self.cache.remove(place);
            }
        }
        drop(stripe);
        let mut history = self.history.lock();
        match epoch == self.epoch() {
            false => Applied::OtherEpoch,
            true if history.advance(change.at) => Applied::Yes,
            true => Applied::Contradiction,
        }
    }

    /// Sets the cursor for the first time in an epoch: nothing was kept before.
    fn start(&self, at: Position, ahead: &LookAhead) -> LookEnd {
        let beginning = self.beginning.lock();
        let mut history = self.history.lock();
        if ahead.epoch != self.epoch() {
            return LookEnd::More(0);
        }
        if !history.start(at) {
            drop((history, beginning));
            return self.contradicted("the shard's clock is not the one that was seen before");
        }
        if !hooks::mutant("start_keeps_epoch") && !hooks::mutant("epoch_keeps_entries") {
            self.epoch.fetch_add(1, Ordering::AcqRel);
            self.drop_filters();
        }
        self.freshness.looked_at(hooks::time("fresh_at_end", ahead.started));
        drop(history);
        if !hooks::mutant("start_keeps_epoch") {
            self.stripes.restart(at.seq);
        }
        LookEnd::Complete(0)
    }

    /// Checks a position that a load or a write brought (rule 7).
    pub(super) fn observe(&self, at: Position) -> Standing {
        let standing = self.history.lock().observe(at);
        if standing == Standing::Contradiction {
            self.contradicted("a load or a write saw another history");
        }
        standing
    }

    /// Another history than the one that was followed: all that is known of the shard is dropped.
    pub fn contradicted(&self, reason: &'static str) -> LookEnd {
        let beginning = self.beginning.lock();
        let mut history = self.history.lock();
        self.freshness.never();
        history.forget();
        // Connections first: nothing is sent in the new epoch over one that may lead to the old primary.
        self.contradictions.fetch_add(1, Ordering::AcqRel);
        if !hooks::mutant("epoch_keeps_entries") {
            self.epoch.fetch_add(1, Ordering::AcqRel);
        }
        self.drop_filters();
        drop(history);
        self.stripes.restart(0);
        drop(beginning);
        tracing::warn!(reason, "a shard's history is not the one that was followed; starting anew");
        LookEnd::NewEpoch(reason)
    }
}
