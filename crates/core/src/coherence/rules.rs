//! The rules of coherence that are decisions, each a pure function.
//!
//! The numbers are those of `docs/design.md`, section 5, which also says which wrong answer each rule
//! prevents. Rules that are steps in an order stand where the steps are, in [`Memory`](super::Memory).

use super::history::Standing;
use crate::clock::Boottime;
use crate::domain::Position;
use std::time::Duration;

/// An answered load of one key, as rule 3 judges it.
#[derive(Clone, Copy, Debug)]
pub struct Landing {
    /// The seq that the load is as of.
    pub seq: u64,
    /// The shard's epoch is the one in which the query was sent.
    pub same_epoch: bool,
    /// How the load's position stands to the history that is followed.
    pub standing: Standing,
    /// The fence of the key's stripe.
    pub fence: u64,
    /// The key changed while the query was out.
    pub overtaken: bool,
    /// A poll of the change log began since the query was sent.
    pub polled_since: bool,
}

/// An entry that the cache holds for a key.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// The seq that it was read or changed at.
    pub as_of: u64,
    /// It belongs to the shard's present epoch.
    pub same_epoch: bool,
}

/// Rule 3: whether a load may be given to its readers at all. It belongs to the history that is followed,
/// as far as that can still be checked.
#[inline]
pub fn is_current(load: &Landing) -> bool {
    load.same_epoch && load.standing != Standing::Forgotten
}

/// Rule 3: whether a load may enter the cache.
///
/// A load below the fence has missed a change. A load ahead of the cursor is of a history that nobody has
/// checked yet: a poll that began since may already have left it behind.
#[inline]
pub fn may_enter(load: &Landing) -> bool {
    is_current(load)
        && load.seq >= load.fence
        && !load.overtaken
        && match load.standing {
            Standing::Applied => true,
            Standing::Ahead => !load.polled_since,
            // Nothing is kept before the first cursor is set.
            Standing::Unknown | Standing::Forgotten | Standing::Contradiction => false,
        }
}

/// Rule 3: whether a load that may not enter must remove the entry that is there, because it is older.
#[inline]
pub fn load_must_drop(held: Held, seq: u64) -> bool {
    is_older(held, seq)
}

/// Whether an entry is of another epoch, or of an earlier seq.
#[inline]
fn is_older(held: Held, seq: u64) -> bool {
    !held.same_epoch || held.as_of < seq
}

/// Rule 4: the least seq that a reader takes, from the fence of its key's stripe when it came.
#[inline]
pub fn reader_floor(fence: u64) -> u64 {
    fence
}

/// Rule 4: whether a reader takes only a query that is sent after it came. A reader with a token does.
#[inline]
pub fn needs_later_query(token: Option<Position>) -> bool {
    token.is_some()
}

/// Rule 4: whether a reader may take the query that is out. `oldest`: when it may have been sent at the
/// earliest.
#[inline]
pub fn may_take_query(sent: Boottime, oldest: Boottime, overtaken: bool) -> bool {
    !overtaken && sent >= oldest
}

/// Rule 5: whether a local write at `seq` must remove the entry that is there.
///
/// Seqs of two histories do not compare: an entry that was loaded ahead of the cursor may be of an old
/// primary that had a longer history. Which of the two is newer is known only where the feed has been,
/// with the write and with the entry.
#[inline]
pub fn write_must_drop(held: Held, seq: u64, standing: Standing, cursor: u64) -> bool {
    standing != Standing::Applied || held.as_of > cursor || is_older(held, seq)
}

/// Rule 2: whether the feed must change the entry that is there: it is older than the change.
#[inline]
pub fn feed_must_update(as_of: u64, seq: u64) -> bool {
    as_of < seq
}

/// Rule 6: whether memory may answer. `age`: how long ago the last complete poll began.
#[inline]
pub fn may_answer(age: Option<Duration>, staleness_limit: Duration) -> bool {
    age.is_some_and(|age| age < staleness_limit)
}

/// Rules 6 and 8: whether the last known state may be given, marked as degraded. Never for a token.
#[inline]
pub fn may_degrade(token: Option<Position>, age: Option<Duration>, limit: Duration) -> bool {
    token.is_none() && age.is_some_and(|age| age < limit)
}

/// Rule 6: since when memory is fresh, after a complete poll. What was committed after the poll began may
/// be missing from what it saw, so its start counts.
#[inline]
pub fn fresh_since(poll_start: Boottime) -> Boottime {
    poll_start
}

/// Rule 7: whether the shard's clock went back. `greatest`: the greatest seq that was known before the poll
/// began.
#[inline]
pub fn clock_went_back(clock: u64, greatest: u64) -> bool {
    clock < greatest
}

/// How the lines of a log follow a position that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStart {
    /// The first line is the known position; the news comes after it.
    AtPosition,
    /// The log has no line for the known position and needs none.
    AfterPosition,
    /// The log holds another change at the position.
    OtherChange,
    /// The log begins after the position, or ends before it.
    Missing,
}

/// Rule 7: how a polled log follows the cursor. `first`: its first line. `clock`: the shard's position.
#[inline]
pub fn log_start(cursor: Position, first: Option<Position>, clock: Position) -> LogStart {
    match first {
        Some(first) if first == cursor => LogStart::AtPosition,
        Some(first) if first.seq == cursor.seq => LogStart::OtherChange,
        // Before the first change there is no line to compare, only the clock.
        _ if cursor.seq == 0 && (clock.seq > 0 || clock == cursor) => LogStart::AfterPosition,
        _ => LogStart::Missing,
    }
}

/// Rule 7: whether a line of the log comes right after another.
#[inline]
pub fn is_next(seq: u64, previous: u64) -> bool {
    seq == previous + 1
}

/// Rule 7: whether a position that somebody brings is the one that was applied at its seq.
#[inline]
pub fn is_same_position(applied: Position, brought: Position) -> bool {
    applied == brought
}

/// Rule 7: whether the nonce that was brought for a seq ahead of the cursor is the one that turned out to
/// be there.
#[inline]
pub fn agrees(remembered_nonce: u64, at: Position) -> bool {
    remembered_nonce == at.nonce
}

/// Rule 7: whether a connection may be used. One that was opened before a change of history may lead to
/// the old primary. Both are counts of the histories that were given up.
#[inline]
pub fn may_use_connection(opened: u64, now: u64) -> bool {
    opened == now
}

/// Rule 8: whether memory has applied the position that a token names. `standing`: how it stands to the
/// history that is followed.
#[inline]
pub fn has_applied_token(standing: Standing) -> bool {
    standing == Standing::Applied
}

/// Rule 8: whether an entry serves a reader. `token_cursor`: where the feed was, for a reader with a token.
/// An entry ahead of the feed is of a history that nobody has checked yet.
#[inline]
pub fn may_tell(as_of: u64, token_cursor: Option<Position>) -> bool {
    token_cursor.is_none_or(|cursor| as_of <= cursor.seq)
}

/// The filter: whether it says of an id that it is surely no alias.
#[inline]
pub fn rules_out(is_ready: bool, may_hold: bool, same_epoch: bool) -> bool {
    is_ready && !may_hold && same_epoch
}

/// The filter: whether one that was filled may take the place of the one that answers.
#[inline]
pub fn may_take_over(is_ready: bool) -> bool {
    is_ready
}

/// The snapshot: how the log follows the position that a filter was saved at.
#[inline]
pub fn replay_start(saved: Position, first: Option<Position>) -> LogStart {
    match first {
        Some(first) if first == saved => LogStart::AtPosition,
        Some(first) if first.seq == saved.seq => LogStart::OtherChange,
        _ => LogStart::Missing,
    }
}

/// The snapshot: whether a line of the log comes right after what was replayed.
#[inline]
pub fn replays_next(seq: u64, previous: u64) -> bool {
    is_next(seq, previous)
}

/// The snapshot: whether enough was replayed: beyond the cursor, or up to the end of the log.
///
/// Beyond, because the feed may be about to move the cursor to a change that it added just before there
/// was this filter. That change is in the log already.
#[inline]
pub fn is_replayed(at: Position, cursor: u64, clock: Position) -> bool {
    at.seq > cursor || at == clock
}
