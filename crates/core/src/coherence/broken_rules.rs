//! The [rules] as a build with `test-hooks` uses them: right, unless a mutant is on.
//!
//! A function of this file replaces the function of the same name in `rules`.

pub use super::rules::*;

use super::rules;
use crate::clock::Boottime;
use crate::domain::{Beat, Claim, Micros, Position, ShardId, Token};
use crate::mutant::{Mutant, active, is_on, thread_time};
use std::time::Duration;

pub fn feed_must_update(as_of: u64, seq: u64) -> bool {
    !is_on!(FeedSkipsEntries) && rules::feed_must_update(as_of, seq)
}

pub fn may_enter(load: &Landing) -> bool {
    rules::may_enter(&match active() {
        Some(Mutant::ReplicaCached) => Landing { from_primary: true, ..*load },
        Some(Mutant::NoFence) => Landing { fence: 0, overtaken: false, ..*load },
        Some(Mutant::AheadEnters) => Landing { polled_since: false, ..*load },
        Some(Mutant::StartKeepsEpoch) if load.standing == Standing::Unknown => {
            Landing { standing: Standing::Applied, ..*load }
        }
        _ => *load,
    })
}

pub fn load_must_drop(held: Held, seq: u64) -> bool {
    !is_on!(LoadKeepsOlder) && rules::load_must_drop(held, seq)
}

pub fn may_fill(row: &Landing, newest_load: u64, cursor: u64, is_loading: bool) -> bool {
    let row = match active() {
        Some(Mutant::FillNoFence) => Landing { fence: 0, ..*row },
        Some(Mutant::FillAhead) => Landing { polled_since: false, ..*row },
        Some(Mutant::FillFromReplica) => Landing { from_primary: true, ..*row },
        _ => *row,
    };
    let newest_load = if is_on!(FillIgnoresLoads) { 0 } else { newest_load };
    rules::may_fill(&row, newest_load, cursor, is_loading && !is_on!(FillBesideLoad))
}

pub fn may_fill_saved(caught_up: bool) -> bool {
    is_on!(SavedAhead) || rules::may_fill_saved(caught_up)
}

pub fn reader_floor(fence: u64, token: Option<Position>) -> u64 {
    let token = token.filter(|_| !is_on!(TokenNoFloor));
    if is_on!(NoFloor) { 0 } else { rules::reader_floor(fence, token) }
}

pub fn is_behind_token(seq: u64, token: Option<Position>, in_time: bool) -> bool {
    !is_on!(TokenNoFloor) && !is_on!(NoFloor) && rules::is_behind_token(seq, token, in_time)
}

pub fn needs_later_query(token: Option<Position>) -> bool {
    !is_on!(TokenJoins) && !is_on!(NoFloor) && rules::needs_later_query(token)
}

pub fn may_take_query(sent: Boottime, oldest: Boottime, overtaken: bool) -> bool {
    let oldest = if is_on!(JoinsAnyLoad) { Boottime::ZERO } else { oldest };
    is_on!(NoFloor) || rules::may_take_query(sent, oldest, overtaken)
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

pub fn may_answer(age: Option<Duration>, staleness_limit: Duration) -> bool {
    is_on!(StaleServed) || rules::may_answer(age, staleness_limit)
}

pub fn fresh_since(poll_start: Boottime, proof_age: Duration) -> Boottime {
    let start = if is_on!(FreshAtEnd) { thread_time() } else { poll_start };
    let age = if is_on!(PollProofIgnored) { Duration::ZERO } else { proof_age };
    rules::fresh_since(start, age)
}

pub fn is_primary(claim: &Claim) -> bool {
    is_on!(NoRoleCheck) || is_on!(RoleAtConnectOnly) || rules::is_primary(claim)
}

pub fn may_lead(claim: &Claim) -> bool {
    is_on!(NoRoleCheck) || rules::may_lead(claim)
}

pub fn proof_age(claim: &Claim, now: Micros) -> Option<Duration> {
    let beat = claim.beat.filter(|_| !is_on!(NoBeat));
    let any_clock = is_on!(BeatOfAnyClock);
    let beat = beat.map(|beat| match any_clock {
        true => Beat { at: beat.at.min(now), by_this_server: true },
        false => beat,
    });
    rules::proof_age(&Claim { beat, ..*claim }, now)
}

pub fn load_proven_at(sent: Boottime, age: Option<Duration>) -> Option<Boottime> {
    rules::load_proven_at(sent, if is_on!(LoadProofIgnored) { Some(Duration::ZERO) } else { age })
}

pub fn may_answer_degraded(
    token: Option<Position>,
    age: Duration,
    limit: Duration,
    seq: u64,
    floor: u64,
) -> bool {
    let token = token.filter(|_| !is_on!(ReplicaForToken));
    let age = if is_on!(ReplicaForEver) { Duration::ZERO } else { age };
    let floor = if is_on!(ReplicaNoFloor) { 0 } else { floor };
    rules::may_answer_degraded(token, age, limit, seq, floor)
}

pub fn may_send_again(not_done: bool) -> bool {
    is_on!(HeldSentTwice) || rules::may_send_again(not_done)
}

pub fn may_degrade(token: Option<Position>, age: Option<Duration>, limit: Duration) -> bool {
    let token = token.filter(|_| !is_on!(DegradedForToken));
    let age = if is_on!(DegradedForEver) { Some(Duration::ZERO) } else { age };
    rules::may_degrade(token, age, limit)
}

pub fn standing(at: Position, cursor: Option<Position>, applied: Option<Position>) -> Standing {
    match rules::standing(at, cursor, applied) {
        Standing::Contradiction if is_on!(NonceIgnoredBehind) => Standing::Applied,
        standing => standing,
    }
}

pub fn agrees(remembered_nonce: u64, at: Position) -> bool {
    is_on!(NonceIgnoredAhead) || rules::agrees(remembered_nonce, at)
}

pub fn clock_went_back(clock: u64, greatest: u64) -> bool {
    !is_on!(ClockMayGoBack) && rules::clock_went_back(clock, greatest)
}

pub fn log_start(cursor: Position, first: Option<Position>, clock: Position) -> LogStart {
    match rules::log_start(cursor, first, clock) {
        LogStart::OtherChange if is_on!(NonceIgnoredAtCursor) => LogStart::AtPosition,
        LogStart::Missing if is_on!(PrunedIsFine) => LogStart::AfterPosition,
        start => start,
    }
}

pub fn is_next(seq: u64, previous: u64) -> bool {
    is_on!(PrunedIsFine) || rules::is_next(seq, previous)
}

pub fn may_use_connection(opened: u64, now: u64) -> bool {
    is_on!(ConnectionsStay) || rules::may_use_connection(opened, now)
}

pub fn needed_position(token: Option<&Token>, shard: ShardId) -> Option<Position> {
    rules::needed_position(token.filter(|_| !is_on!(TokenIgnored)), shard)
}

pub fn has_applied_token(standing: Standing) -> bool {
    // Behind the cursor, with whatever nonce.
    let was_reached = !matches!(standing, Standing::Unknown | Standing::Ahead);
    is_on!(TokenSeqOnly) && was_reached || rules::has_applied_token(standing)
}

pub fn may_tell(as_of: u64, same_epoch: bool, token_cursor: Option<Position>) -> bool {
    rules::may_tell(as_of, same_epoch, token_cursor.filter(|_| !is_on!(AheadServesToken)))
}

pub fn has_applied_pages(highest: u64, cursor: u64) -> bool {
    is_on!(FilterTooEarly) || rules::has_applied_pages(highest, cursor)
}

pub fn rules_out(is_ready: bool, may_hold: bool, same_epoch: bool) -> bool {
    rules::rules_out(is_ready, may_hold, same_epoch || is_on!(FilterOutlivesEpoch))
}

pub fn replay_start(saved: Position, first: Option<Position>) -> LogStart {
    match rules::replay_start(saved, first) {
        LogStart::OtherChange if is_on!(SnapshotIgnoresNonce) => LogStart::AtPosition,
        LogStart::Missing if is_on!(SnapshotIgnoresPruning) && first.is_some() => {
            LogStart::AfterPosition
        }
        start => start,
    }
}

pub fn replays_next(seq: u64, previous: u64) -> bool {
    is_on!(SnapshotIgnoresPruning) || rules::replays_next(seq, previous)
}

pub fn is_replayed(at: Position, cursor: u64, clock: Position) -> bool {
    match active() {
        Some(Mutant::SnapshotTooEarly) => true,
        Some(Mutant::SnapshotEndsAtCursor) if at.seq == cursor => true,
        _ => rules::is_replayed(at, cursor, clock),
    }
}
