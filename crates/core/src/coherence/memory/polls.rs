//! Following a shard's history: polls of its change log, and the epochs that end one history and begin
//! another (rules 2, 6, 7).

use super::{Memory, Standing};
use crate::clock::Boottime;
use crate::coherence::entry::{Entry, detached};
use crate::coherence::law::{self, LogStart};
use crate::domain::LogPage;
use crate::domain::{Change, Position};
use crate::mutant::{sabotage, step};
use crate::sync::Ordering;

/// A poll of the change log that is about to be sent.
pub struct PendingPoll {
    started: Boottime,
    epoch: u64,
    greatest: u64,
    /// From where to read; `None`: only the clock is wanted.
    pub cursor: Option<Position>,
}

/// How a poll ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollEnd {
    /// All changes are applied; so many.
    Complete(usize),
    /// More changes are waiting: poll again at once.
    More(usize),
    /// A new epoch began, for this reason.
    NewEpoch(&'static str),
}

/// What came of one change.
enum Applied {
    Yes,
    /// Another epoch began: the rest of the poll is worthless.
    OtherEpoch,
    Contradiction,
}

impl Memory {
    /// A poll is about to be sent.
    pub fn begin_poll(&self, now: Boottime) -> PendingPoll {
        let history = self.history.lock();
        self.polls_begun.fetch_add(1, Ordering::AcqRel);
        PendingPoll {
            started: now,
            epoch: self.epoch(),
            greatest: history.greatest(),
            cursor: history.cursor(),
        }
    }

    /// A poll was answered (rules 2, 6, 7).
    pub fn end_poll(&self, poll: &PendingPoll, page: &LogPage) -> PollEnd {
        if poll.epoch != self.epoch() {
            // Somebody else began an epoch meanwhile; the next poll belongs to it.
            return PollEnd::More(0);
        }
        // Compared with what was brought before the poll began: a write that was committed after the
        // poll's snapshot is no contradiction.
        if law::clock_went_back(page.at.seq, poll.greatest) {
            return self.contradicted("the shard's clock went back");
        }
        let Some(cursor) = poll.cursor else {
            return self.start(page.at, poll);
        };
        let first = page.changes.first().map(|change| change.at);
        let changes = match law::log_start(cursor, first, page.at) {
            LogStart::AtPosition => &page.changes[1..],
            LogStart::AfterPosition => &page.changes[..],
            LogStart::OtherChange => {
                return self.contradicted("the log holds another change at the cursor");
            }
            LogStart::Missing => return self.contradicted("the log was pruned past the cursor"),
        };
        if let Err(end) = self.apply_all(changes, cursor, poll.epoch) {
            return end;
        }
        if changes.last().map_or(cursor, |change| change.at) == page.at {
            return self.complete(poll, page.at.seq, changes.len());
        }
        sabotage!(FreshWhenPartial => self.freshness.polled_at(poll.started));
        match changes.len() {
            0 => self.contradicted("the log does not reach the shard's clock"),
            count => PollEnd::More(count),
        }
    }

    /// Applies changes that come after the cursor.
    fn apply_all(&self, changes: &[Change], cursor: Position, epoch: u64) -> Result<(), PollEnd> {
        let mut previous = cursor.seq;
        for change in changes {
            if !law::is_next(change.at.seq, previous) {
                return Err(self.contradicted("the log has a gap"));
            }
            previous = change.at.seq;
            match self.apply(change, epoch) {
                Applied::Yes => {}
                Applied::OtherEpoch => return Err(PollEnd::More(0)),
                Applied::Contradiction => {
                    let reason = "the log holds a change that others saw differently";
                    return Err(self.contradicted(reason));
                }
            }
        }
        Ok(())
    }

    /// Applies one change: the fence first, then the entry, then the cursor.
    fn apply(&self, change: &Change, epoch: u64) -> Applied {
        let (key, seq) = (&change.alias, change.at.seq);
        let footprint = self.cache.footprint_of(key);
        let mut stripe = self.stripes.lock(footprint);
        // Each time under the lock: a lane may have begun another epoch since the poll ended.
        if epoch != self.epoch() {
            return Applied::OtherEpoch;
        }
        match change.new {
            Some(_) => step!(FilterMissesFeed => self.add_to_filters(key.id_hash())),
            None => self.deleted_from_filters(),
        }
        // A load that is out and read an earlier state must not enter after this.
        let entry = self.cache.get(footprint);
        step!(FeedNoFence, FenceWithEntry if entry.is_none() => stripe.raise(key, seq));
        if let Some(entry) = entry.filter(|entry| law::feed_must_update(entry.as_of, seq)) {
            if entry.epoch == epoch {
                let canonical = detached(change.new.as_ref());
                self.cache.put(footprint, Entry { canonical, as_of: seq, epoch });
            } else {
                self.cache.remove(footprint);
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

    /// All changes up to the shard's clock are applied.
    fn complete(&self, poll: &PendingPoll, seq: u64, changes: usize) -> PollEnd {
        let _history = self.history.lock();
        if poll.epoch != self.epoch() {
            return PollEnd::More(0);
        }
        self.freshness.polled_at(law::fresh_since(poll.started));
        self.let_filters_answer(seq);
        PollEnd::Complete(changes)
    }

    /// Sets the cursor for the first time in an epoch: nothing was kept before.
    fn start(&self, at: Position, poll: &PendingPoll) -> PollEnd {
        let beginning = self.beginning.lock();
        let mut history = self.history.lock();
        if poll.epoch != self.epoch() {
            return PollEnd::More(0);
        }
        if !history.start(at) {
            drop((history, beginning));
            return self.contradicted("the shard's clock is not the one that was seen before");
        }
        step!(StartKeepsEpoch, EpochKeepsEntries => self.next_epoch());
        self.freshness.polled_at(law::fresh_since(poll.started));
        drop(history);
        step!(StartKeepsEpoch => self.stripes.restart(at.seq));
        PollEnd::Complete(0)
    }

    /// Entries and filters of the epoch that ends are worthless. The history's lock is held.
    fn next_epoch(&self) {
        step!(EpochKeepsEntries => self.epoch.fetch_add(1, Ordering::AcqRel));
        self.drop_filters();
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
    pub fn contradicted(&self, reason: &'static str) -> PollEnd {
        let beginning = self.beginning.lock();
        let mut history = self.history.lock();
        self.freshness.never();
        history.forget();
        // Connections first: nothing is sent in the new epoch over one that may lead to the old primary.
        self.contradictions.fetch_add(1, Ordering::AcqRel);
        self.next_epoch();
        drop(history);
        self.stripes.restart(0);
        drop(beginning);
        tracing::warn!(reason, "a shard's history is not the one that was followed; starting anew");
        PollEnd::NewEpoch(reason)
    }
}
