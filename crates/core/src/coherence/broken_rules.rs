//! The [rules](super::rules) as a build with `test-hooks` uses them: right, unless a mutant is on.
//!
//! A function that stands here hides the right one of the same name.

pub use super::rules::*;

use super::history::Standing;
use super::rules;
use crate::clock::Boottime;
use crate::domain::Position;
use crate::mutant::{Mutant, active, thread_time};
use std::time::Duration;

fn on(mutant: Mutant) -> bool {
    active() == Some(mutant)
}

pub fn may_enter(load: &Landing) -> bool {
    rules::may_enter(&match active() {
        Some(Mutant::NoFence) => Landing { fence: 0, overtaken: false, ..*load },
        Some(Mutant::AheadEnters) => Landing { polled_since: false, ..*load },
        Some(Mutant::StartKeepsEpoch) if load.standing == Standing::Unknown => {
            Landing { standing: Standing::Applied, ..*load }
        }
        _ => *load,
    })
}

pub fn load_must_drop(held: Held, seq: u64) -> bool {
    !on(Mutant::LoadKeepsOlder) && rules::load_must_drop(held, seq)
}

pub fn reader_floor(fence: u64) -> u64 {
    if on(Mutant::NoFloor) { 0 } else { rules::reader_floor(fence) }
}

pub fn needs_later_query(token: Option<Position>) -> bool {
    !on(Mutant::TokenJoins) && rules::needs_later_query(token)
}

pub fn may_take_query(sent: Boottime, oldest: Boottime, overtaken: bool) -> bool {
    let oldest = if on(Mutant::JoinsAnyLoad) { Boottime::ZERO } else { oldest };
    rules::may_take_query(sent, oldest, overtaken)
}

pub fn write_must_drop(held: Held, seq: u64, standing: Standing, cursor: u64) -> bool {
    match active() {
        Some(Mutant::WriteKeepsEntry) => false,
        Some(Mutant::WriteTrustsSeq) => {
            rules::write_must_drop(held, seq, Standing::Applied, cursor)
        }
        Some(Mutant::WriteTrustsEntry) => rules::write_must_drop(held, seq, standing, u64::MAX),
        _ => rules::write_must_drop(held, seq, standing, cursor),
    }
}

pub fn feed_must_update(as_of: u64, seq: u64) -> bool {
    !on(Mutant::FeedSkipsEntries) && rules::feed_must_update(as_of, seq)
}

pub fn may_answer(age: Option<Duration>, staleness_limit: Duration) -> bool {
    on(Mutant::StaleServed) || rules::may_answer(age, staleness_limit)
}

pub fn may_degrade(token: Option<Position>, age: Option<Duration>, limit: Duration) -> bool {
    let token = token.filter(|_| !on(Mutant::DegradedForToken));
    let age = if on(Mutant::DegradedForEver) { Some(Duration::ZERO) } else { age };
    rules::may_degrade(token, age, limit)
}

pub fn fresh_since(poll_start: Boottime) -> Boottime {
    rules::fresh_since(if on(Mutant::FreshAtEnd) { thread_time() } else { poll_start })
}

pub fn clock_went_back(clock: u64, greatest: u64) -> bool {
    !on(Mutant::ClockMayGoBack) && rules::clock_went_back(clock, greatest)
}

pub fn log_start(cursor: Position, first: Option<Position>, clock: Position) -> LogStart {
    match (rules::log_start(cursor, first, clock), active()) {
        (LogStart::OtherChange, Some(Mutant::NonceIgnoredAtCursor)) => LogStart::AtPosition,
        (LogStart::Missing, Some(Mutant::PrunedIsFine)) => LogStart::AfterPosition,
        (start, _) => start,
    }
}

pub fn is_next(seq: u64, previous: u64) -> bool {
    on(Mutant::PrunedIsFine) || rules::is_next(seq, previous)
}

pub fn is_same_position(applied: Position, brought: Position) -> bool {
    on(Mutant::NonceIgnoredBehind) || rules::is_same_position(applied, brought)
}

pub fn agrees(remembered_nonce: u64, at: Position) -> bool {
    on(Mutant::NonceIgnoredAhead) || rules::agrees(remembered_nonce, at)
}

pub fn may_use_connection(opened: u64, now: u64) -> bool {
    on(Mutant::ConnectionsStay) || rules::may_use_connection(opened, now)
}

pub fn may_tell(as_of: u64, token_cursor: Option<Position>) -> bool {
    on(Mutant::AheadServesToken) || rules::may_tell(as_of, token_cursor)
}

pub fn rules_out(is_ready: bool, may_hold: bool, same_epoch: bool) -> bool {
    let is_ready = is_ready || on(Mutant::FilterTooEarly);
    rules::rules_out(is_ready, may_hold, same_epoch || on(Mutant::FilterOutlivesEpoch))
}

pub fn may_take_over(is_ready: bool) -> bool {
    on(Mutant::FilterTooEarly) || rules::may_take_over(is_ready)
}

pub fn replay_start(saved: Position, first: Option<Position>) -> LogStart {
    match (rules::replay_start(saved, first), active()) {
        (LogStart::OtherChange, Some(Mutant::SnapshotIgnoresNonce)) => LogStart::AtPosition,
        (LogStart::Missing, Some(Mutant::SnapshotIgnoresPruning)) if first.is_some() => {
            LogStart::AfterPosition
        }
        (start, _) => start,
    }
}

pub fn replays_next(seq: u64, previous: u64) -> bool {
    on(Mutant::SnapshotIgnoresPruning) || rules::replays_next(seq, previous)
}

pub fn is_replayed(at: Position, cursor: u64, clock: Position) -> bool {
    match active() {
        Some(Mutant::SnapshotTooEarly) => true,
        Some(Mutant::SnapshotEndsAtCursor) if at.seq == cursor => true,
        _ => rules::is_replayed(at, cursor, clock),
    }
}
