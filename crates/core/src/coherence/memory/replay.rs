//! A filter that outlives its process: saved with a position of the shard's history, and brought up to
//! date with the change log by the process after.
//!
//! What is saved holds every alias of its position (and may hold more). It becomes the filter if
//!
//! 1. the change log still has the line of the position, with its nonce: so the position is one of the
//!    history that the log tells, no failover has lost it, and the log was not pruned past it;
//! 2. every line from there to beyond the cursor is read and added, without a gap. What comes after the
//!    feed adds: as with a scan, the filter is registered before the first line is read. Beyond, because
//!    the feed may be about to move the cursor to a change that it added just before there was this
//!    filter. That change is in the log already: where the log ends at the cursor, there is none;
//! 3. the clock that came with each page of lines is of the history that is followed here (rule 7).
//!    Ahead of the cursor that is known when the feed arrives, so the filter does not answer sooner.

use super::{Memory, Standing};
use crate::coherence::filter::Filter;
use crate::coherence::law::{self, LogStart};
use crate::domain::LogPage;
use crate::domain::Position;
use crate::mutant::step;
use std::sync::Arc;

/// The filter that answers, to be saved.
pub struct FilterImage {
    /// All aliases of this position are in it.
    pub at: Position,
    filter: Arc<Filter>,
}

impl FilterImage {
    pub(in crate::coherence) fn filter(&self) -> &Filter {
        &self.filter
    }
}

/// A filter that was saved.
pub struct SavedFilter {
    pub at: Position,
    pub(in crate::coherence) filter: Filter,
}

/// A saved filter that is brought up to date.
pub struct FilterReplay {
    filter: Arc<Filter>,
    /// The cursor when it was begun: what comes after it the feed brings.
    from: u64,
    /// All aliases of this position are in it.
    at: Position,
    highest: u64,
}

impl FilterReplay {
    /// The seq from which on the log is to be read.
    pub fn next(&self) -> u64 {
        self.at.seq
    }
}

/// What came of some lines of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// More lines are wanted.
    More,
    /// It is filled.
    Done,
    /// The epoch is over, or the lines are too old: it may be tried again.
    Over,
    /// The log does not go on from what was saved: that is worth nothing.
    Unfit(&'static str),
}

impl Memory {
    /// The filter that answers and what it holds; `None` where there is nothing worth saving.
    pub fn filter_image(&self) -> Option<FilterImage> {
        // Under one lock: the epoch does not change in between. The bits are read later than the
        // position: what is added meanwhile is in it too early, which does no harm.
        let history = self.history.lock();
        // The first position has no line in the log that could be compared.
        let at = history.cursor().filter(|at| at.seq > 0)?;
        Some(FilterImage { at, filter: self.filter()? })
    }

    /// Begins to bring a saved filter up to date; `None` while no cursor is set. All that comes to be
    /// known from now on is added to it.
    pub fn begin_replay(&self, saved: SavedFilter) -> Option<FilterReplay> {
        let history = self.history.lock();
        let from = history.cursor()?.seq;
        let SavedFilter { at, mut filter } = saved;
        filter.epoch = self.epoch();
        let filter = Arc::new(filter);
        self.register_filter(&filter);
        Some(FilterReplay { filter, from, at, highest: 0 })
    }

    /// The log was read from [`FilterReplay::next`] on.
    pub fn replay(&self, replay: &mut FilterReplay, page: &LogPage) -> Replayed {
        let standing = self.observe(page.at);
        let old = page.at.seq < replay.from || standing == Standing::Forgotten;
        if old || replay.filter.epoch != self.epoch() {
            return Replayed::Over;
        }
        let first = page.changes.first().map(|change| change.at);
        let changes = match law::replay_start(replay.at, first) {
            LogStart::AtPosition => &page.changes[1..],
            LogStart::AfterPosition => &page.changes[..],
            LogStart::OtherChange => {
                return Replayed::Unfit("the log holds another change at its position");
            }
            LogStart::Missing if first.is_some() => {
                return Replayed::Unfit("the log was pruned past its position");
            }
            LogStart::Missing => return Replayed::Unfit("the log does not reach its position"),
        };
        for change in changes {
            if !law::replays_next(change.at.seq, replay.at.seq) {
                return Replayed::Unfit("the log has a gap");
            }
            match change.new {
                Some(_) => {
                    step!(SnapshotSkipsChanges => replay.filter.insert(change.alias.id_hash()));
                }
                None => replay.filter.deleted(),
            }
            replay.at = change.at;
        }
        replay.highest = replay.highest.max(page.at.seq);
        if law::is_replayed(replay.at, replay.from, page.at) {
            self.end_filling(replay.filter.clone(), replay.highest);
            return Replayed::Done;
        }
        match changes.is_empty() {
            true => Replayed::Unfit("the log does not reach the shard's clock"),
            false => Replayed::More,
        }
    }
}
