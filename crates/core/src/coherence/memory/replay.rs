//! The filter's task brings a saved filter, and the aliases saved with it, up to date with the change
//! log (`docs/design.md`, section 4, "Snapshot").
//!
//! Invariant: the one of [`filters`](super::filters). The pages here are pages of the change log,
//! from the snapshot's position on, without a gap.

use super::Memory;
use crate::coherence::filter::Filter;
use crate::coherence::law::{self, LogStart};
use crate::coherence::saved_aliases::SavedAliases;
use crate::coherence::snapshot::{FilterImage, SavedFilter};
use crate::domain::{LogPage, Position};
use crate::mutant::step;
use std::sync::Arc;

/// A saved filter that is brought up to date.
pub struct FilterReplay {
    filter: Arc<Filter>,
    /// The cursor when the replay began. The feed adds the changes after it.
    from: u64,
    /// The position that the filter is complete up to.
    at: Position,
    /// The highest seq that a page was read at.
    highest: u64,
    aliases: SavedAliases,
}

impl FilterReplay {
    /// The aliases that were saved with the filter, brought up to date as the filter is.
    pub fn into_aliases(self) -> SavedAliases {
        let Self { mut aliases, at, filter, .. } = self;
        (aliases.at, aliases.epoch) = (at, filter.epoch);
        aliases
    }

    /// The seq to read the log from.
    pub fn next(&self) -> u64 {
        self.at.seq
    }
}

/// The result of one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// The next page is needed.
    More,
    /// The filter is complete.
    Done,
    /// The epoch is over, or the page is too old. The replay may be begun again.
    Over,
    /// The log does not continue from the snapshot's position, for this reason. The snapshot is
    /// worthless.
    Unfit(&'static str),
}

impl Memory {
    /// The filter that answers, to be saved. `None` if none answers, or before the shard's first
    /// change.
    pub fn filter_image(&self) -> Option<FilterImage> {
        // The epoch does not change while the history is held. The position is read before the
        // bits: an id that is added in between is in the snapshot too early, which is harmless.
        let history = self.history.lock();
        // Seq 0 has no line in the log, so a later process could not check the position.
        let at = history.cursor().filter(|at| at.seq > 0)?;
        let filter = self.filter()?;
        Some(FilterImage { at, epoch: filter.epoch, filter, cache: self.cache.clone() })
    }

    /// Begins to bring a saved filter up to date; `None` while no cursor is set.
    pub fn begin_replay(&self, saved: SavedFilter) -> Option<FilterReplay> {
        let history = self.history.lock();
        let from = history.cursor()?.seq;
        let SavedFilter { at, mut filter, key_mark, aliases } = saved;
        // With another key the footprints mean nothing.
        let aliases = if key_mark == self.cache.key_mark() { aliases } else { Vec::new() };
        let aliases = SavedAliases::new(aliases, at);
        filter.epoch = self.epoch();
        let filter = Arc::new(filter);
        self.register_filter(&filter);
        Some(FilterReplay { filter, from, at, highest: 0, aliases })
    }

    /// Adds a page of the log, which was read from [`FilterReplay::next`] on.
    pub fn replay(&self, replay: &mut FilterReplay, page: &LogPage) -> Replayed {
        let standing = self.observe(page.at);
        let same_epoch = replay.filter.epoch == self.epoch();
        if !law::may_add_page(page.at.seq, replay.from, standing, same_epoch) {
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
            step!(SavedNotUpdated => {
                replay.aliases.forget(self.cache.footprint_of(&change.alias));
            });
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
