//! The feed polls the change log and tells memory what it saw (rules 2, 6, 7).
//!
//! Invariant: changes are applied in seq order, and each is applied in the order filters, fence,
//! entry, cursor. The first three are done under the stripe's lock.

use super::Memory;
use crate::clock::Boottime;
use crate::coherence::entry::{Entry, detached};
use crate::coherence::law::{self, LogStart};
use crate::domain::{Change, LogPage, Position};
use crate::mutant::{sabotage, step};
use crate::sync::Ordering;

/// A poll of the change log that is about to be sent, or is out.
pub struct PendingPoll {
    started: Boottime,
    epoch: u64,
    /// The greatest seq that was known before the poll was sent.
    greatest: u64,
    /// The position to read from. `None`: only the clock is needed.
    pub cursor: Option<Position>,
}

/// How a poll ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollEnd {
    /// All changes up to the shard's clock are applied. There were this many.
    Complete(usize),
    /// This many changes are applied, and there are more. Poll again at once.
    More(usize),
    /// A new epoch began, for this reason.
    NewEpoch(&'static str),
    /// The server takes no writes: it is not the primary. Nothing was applied.
    NotPrimary,
}

/// How the application of one change ended.
enum Applied {
    Yes,
    /// Another epoch began. The rest of the poll is worthless.
    OtherEpoch,
    /// Another nonce was remembered for the change's seq.
    Contradiction,
}

impl Memory {
    /// Begins a poll. Call it before the query is sent.
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

    /// Ends a poll: `page` is its answer. Applies the changes.
    pub fn end_poll(&self, poll: &PendingPoll, page: &LogPage) -> PollEnd {
        if poll.epoch != self.epoch() {
            // A new epoch began meanwhile. The next poll belongs to it.
            return PollEnd::More(0);
        }
        if !law::is_primary(&page.claim) {
            return PollEnd::NotPrimary;
        }
        if law::clock_went_back(page.at.seq, poll.greatest) {
            return self.give_up("the shard's clock went back");
        }
        let Some(cursor) = poll.cursor else {
            return self.set_cursor(page, poll);
        };
        let first = page.changes.first().map(|change| change.at);
        let changes = match law::log_start(cursor, first, page.at) {
            LogStart::AtPosition => &page.changes[1..],
            LogStart::AfterPosition => &page.changes[..],
            LogStart::OtherChange => {
                return self.give_up("the log holds another change at the cursor");
            }
            LogStart::Missing => return self.give_up("the log was pruned past the cursor"),
        };
        if let Err(end) = self.apply_all(changes, cursor, poll.epoch) {
            return end;
        }
        let last = changes.last().map_or(cursor, |change| change.at);
        if law::is_complete(last, page.at) {
            return self.complete(poll, page, changes.len());
        }
        sabotage!(FreshWhenPartial => self.freshness.polled_at(poll.started));
        match changes.len() {
            0 => self.give_up("the log does not reach the shard's clock"),
            count => PollEnd::More(count),
        }
    }

    /// Applies the changes after the cursor.
    fn apply_all(&self, changes: &[Change], cursor: Position, epoch: u64) -> Result<(), PollEnd> {
        let mut previous = cursor.seq;
        for change in changes {
            if !law::is_next(change.at.seq, previous) {
                return Err(self.give_up("the log has a gap"));
            }
            previous = change.at.seq;
            match self.apply(change, epoch) {
                Applied::Yes => {}
                Applied::OtherEpoch => return Err(PollEnd::More(0)),
                Applied::Contradiction => {
                    let reason =
                        "the log holds another change than a load or a write saw at its seq";
                    return Err(self.give_up(reason));
                }
            }
        }
        Ok(())
    }

    /// Applies one change (rule 2).
    fn apply(&self, change: &Change, epoch: u64) -> Applied {
        let (key, seq) = (&change.alias, change.at.seq);
        let footprint = self.cache.footprint_of(key);
        let mut stripe = self.stripes.lock(footprint);
        // Checked for each change: a lane may have begun another epoch since the poll was answered.
        if epoch != self.epoch() {
            return Applied::OtherEpoch;
        }
        match change.new {
            Some(_) => step!(FilterMissesFeed => self.filters.add(key.id_hash())),
            None => self.filters.deleted(),
        }
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

    /// All changes up to the shard's clock are applied (rule 6).
    fn complete(&self, poll: &PendingPoll, page: &LogPage, changes: usize) -> PollEnd {
        let _history = self.history.lock();
        if poll.epoch != self.epoch() {
            return PollEnd::More(0);
        }
        self.note_fresh(poll, page);
        self.filters.applied(page.at.seq);
        PollEnd::Complete(changes)
    }

    /// Sets the first cursor after a history was given up (rule 7). Nothing was kept before.
    fn set_cursor(&self, page: &LogPage, poll: &PendingPoll) -> PollEnd {
        let at = page.at;
        let beginning = self.beginning.lock();
        let mut history = self.history.lock();
        if poll.epoch != self.epoch() {
            return PollEnd::More(0);
        }
        if !history.start(at) {
            drop((history, beginning));
            return self
                .give_up("the shard's clock contradicts a position that a load or a write saw");
        }
        step!(StartKeepsEpoch, EpochKeepsEntries => self.next_epoch());
        self.note_fresh(poll, page);
        // A write that was acknowledged here may be ahead of the cursor.
        let fence = history.greatest();
        drop(history);
        step!(StartKeepsEpoch => self.stripes.restart(fence));
        PollEnd::Complete(0)
    }

    /// Memory has seen all changes up to the time at which the server proved that it is the primary
    /// (rules 6 and 10). The history's lock is held.
    fn note_fresh(&self, poll: &PendingPoll, page: &LogPage) {
        if let Some(age) = law::proof_age(&page.claim, page.now) {
            self.freshness.polled_at(law::fresh_since(poll.started, age));
        }
    }

    /// Begins a new epoch, for this reason.
    fn give_up(&self, reason: &'static str) -> PollEnd {
        self.contradicted(reason);
        PollEnd::NewEpoch(reason)
    }
}
