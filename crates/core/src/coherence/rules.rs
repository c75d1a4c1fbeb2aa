//! The rules of coherence that are decisions, each as a pure function.
//!
//! The numbers are those of `docs/design.md`, section 5. That page also says which wrong answer
//! each rule prevents. A rule that is an order of steps is kept where the steps are: in `memory`
//! and, for the two filters, in `filter_pair`.

use crate::clock::Boottime;
use crate::domain::{Claim, Micros, Position, ShardId, Token};
use std::time::Duration;

// ---- The arguments of the rules

/// Rule 7: how a position relates to the history that is followed. Every load, page and write
/// brings a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No cursor is set yet.
    Unknown,
    /// It was applied here with this nonce.
    Applied,
    /// It was applied too long ago to be checked.
    Forgotten,
    /// The feed is not there yet. It is remembered, and checked when the feed arrives.
    Ahead,
    /// It belongs to another history.
    Contradiction,
}

/// Rules 3 and 5: an entry that the cache holds.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// The seq at which the entry was read or changed.
    pub as_of: u64,
    /// The entry belongs to the present epoch.
    pub same_epoch: bool,
}

/// Rule 3: the load of one key, when its answer has come.
#[derive(Clone, Copy, Debug)]
pub struct Landing {
    /// The seq at which the row was read.
    pub seq: u64,
    /// The present epoch is the one in which the query was sent.
    pub same_epoch: bool,
    /// The standing of the position at which the row was read.
    pub standing: Standing,
    /// The fence of the key's stripe.
    pub fence: u64,
    /// The key changed while the query was out.
    pub overtaken: bool,
    /// A poll began after the query was sent.
    pub polled_since: bool,
    /// The server that answered takes writes (rule 10).
    pub from_primary: bool,
}

// ---- Rule 2: feed

/// Rule 2: whether the feed updates an entry. A newer entry has seen the change already.
#[inline]
pub fn feed_must_update(as_of: u64, seq: u64) -> bool {
    as_of < seq
}

// ---- Rule 3: fill

/// Rule 3: whether a load may answer any reader. A load of another epoch may come from a history
/// that was lost, and a forgotten position cannot be checked. (A contradiction begins an epoch
/// before this.)
#[inline]
pub fn is_current(load: &Landing) -> bool {
    load.same_epoch && load.standing != Standing::Forgotten
}

/// Rule 3: whether a load may enter the cache.
///
/// A load from below the fence has missed a change. The position of a load from ahead of the cursor
/// is not checked yet, and a poll that has begun since does not compare it.
#[inline]
pub fn may_enter(load: &Landing) -> bool {
    let is_checked = match load.standing {
        Standing::Applied => true,
        Standing::Ahead => !load.polled_since,
        // Nothing is kept before the first cursor is set.
        Standing::Unknown | Standing::Forgotten | Standing::Contradiction => false,
    };
    load.from_primary && is_current(load) && load.seq >= load.fence && !load.overtaken && is_checked
}

/// Rule 3: whether a load that may not enter drops the entry. If an older entry stayed, the next
/// reader would go back in time.
#[inline]
pub fn load_must_drop(held: Held, seq: u64) -> bool {
    is_older(held, seq)
}

/// Whether an entry belongs to another epoch or to an earlier seq.
#[inline]
fn is_older(held: Held, seq: u64) -> bool {
    !held.same_epoch || held.as_of < seq
}

/// Rule 3: whether a row that no reader asked for may enter the cache: one of a scan, or of a
/// snapshot. `newest_load`: the newest seq of a load of the stripe. That load may have told its
/// readers of a change that the row lacks, and not have been kept. Once the feed is there, which
/// `cursor` says, such a change shows in the fence. `is_loading`: a load of the stripe is out. It may
/// have read an earlier state, and land after somebody was told of the row.
#[inline]
pub fn may_fill(row: &Landing, newest_load: u64, cursor: u64, is_loading: bool) -> bool {
    may_enter(row) && row.seq.max(cursor) >= newest_load && !is_loading
}

/// Rule 3: whether the aliases of a snapshot may enter. `caught_up`: the feed has applied their
/// position. Before, it may be one of another history.
#[inline]
pub fn may_fill_saved(caught_up: bool) -> bool {
    caught_up
}

// ---- Rule 4: joining

/// Rules 4 and 8: the least seq that a waiter takes. `fence`: the stripe's fence when the waiter
/// joins. A load from below it may lack a write that the reader knows of. So may a load from below
/// the token's seq.
#[inline]
pub fn reader_floor(fence: u64, token: Option<Position>) -> u64 {
    fence.max(token.map_or(0, |token| token.seq))
}

/// Rule 4: whether a waiter takes only a query that is sent after it came. A token may name a
/// position that this instance cannot check, so an earlier load proves nothing for it.
#[inline]
pub fn needs_later_query(token: Option<Position>) -> bool {
    token.is_some()
}

/// Rule 4: whether a waiter may take the query that is out. `oldest`: the staleness limit before
/// the reader arrived. An overtaken query may have read the state from before a change.
#[inline]
pub fn may_take_query(sent: Boottime, oldest: Boottime, overtaken: bool) -> bool {
    !overtaken && sent >= oldest
}

/// Rule 4: whether a waiter takes a load as of `seq`. `in_time`: the query is one that it may take.
#[inline]
pub fn satisfies(seq: u64, floor: u64, in_time: bool) -> bool {
    in_time && seq >= floor
}

/// Rule 8: whether a load as of `seq` shows that the primary is behind the waiter's token.
/// `in_time`: the query is one that the waiter may take.
///
/// The primary may be a demoted one, or a failover lost the write. The older value would be wrong
/// in the first case, so the reader is told. Once the clock has reached the token's seq, the load
/// is the truth, whatever nonce the seq has now.
#[inline]
pub fn is_behind_token(seq: u64, token: Option<Position>, in_time: bool) -> bool {
    in_time && token.is_some_and(|token| seq < token.seq)
}

// ---- Rule 5: local writes

/// Rule 5: whether a local write at `seq` removes the entry.
///
/// It stays only if it is known to be at least as new as the write. So the feed must have applied
/// the write, and must have passed the seq of the entry. An entry from ahead of the cursor may come
/// from an old primary with a longer history, so its greater seq proves nothing.
#[inline]
pub fn write_must_drop(held: Held, seq: u64, standing: Standing, cursor: u64) -> bool {
    standing != Standing::Applied || held.as_of > cursor || is_older(held, seq)
}

// ---- Rule 6: freshness, and degraded answers

/// Rule 6: whether memory may answer. `age`: the time from the start of the last complete poll to
/// the arrival of the request. This is what bounds staleness (P3).
#[inline]
pub fn may_answer(age: Option<Duration>, staleness_limit: Duration) -> bool {
    age.is_some_and(|age| age < staleness_limit)
}

/// Rule 6: whether a poll is complete. `last`: the last position that it applied. A poll that did
/// not reach the shard's clock has seen only a part of the log.
#[inline]
pub fn is_complete(last: Position, clock: Position) -> bool {
    last == clock
}

/// Rules 6 and 10: the time of freshness after a complete poll. It is the start of the poll, less
/// the age of the server's proof: a change that commits later may be missing from what the poll
/// saw.
#[inline]
pub fn fresh_since(poll_start: Boottime, proof_age: Duration) -> Boottime {
    poll_start.minus(proof_age)
}

/// Rules 6 and 8: whether the last known state may be given as a degraded answer. `age`: the time
/// since the start of the last complete poll. A reader with a token never gets one.
#[inline]
pub fn may_degrade(token: Option<Position>, age: Option<Duration>, limit: Duration) -> bool {
    token.is_none() && age.is_some_and(|age| age < limit)
}

// ---- Rule 7: epochs

/// Rule 7: the standing of a position. `applied`: what was applied at its seq, if that is
/// remembered. The seq alone does not name a point in a history, so the nonces are compared.
#[inline]
pub fn standing(at: Position, cursor: Option<Position>, applied: Option<Position>) -> Standing {
    match (cursor, applied) {
        (None, _) => Standing::Unknown,
        (Some(cursor), _) if at.seq > cursor.seq => Standing::Ahead,
        (_, None) => Standing::Forgotten,
        (_, Some(applied)) if applied == at => Standing::Applied,
        (_, Some(_)) => Standing::Contradiction,
    }
}

/// Rule 7: whether a remembered nonce is that of the position that now turns out to be at its seq.
/// Otherwise the load or write that brought the nonce saw another history.
#[inline]
pub fn agrees(remembered_nonce: u64, at: Position) -> bool {
    remembered_nonce == at.nonce
}

/// Rule 7: whether the shard's clock went back. `greatest`: the greatest seq that was known before
/// the poll began. What was learnt later may be newer than the poll's snapshot.
#[inline]
pub fn clock_went_back(clock: u64, greatest: u64) -> bool {
    clock < greatest
}

/// Rule 7: whether the position of a commit of this instance, made a moment ago, shows that the clock
/// went back. One that is forgotten lies far behind what was applied meanwhile, so it cannot be
/// checked. If it is only late after all, the new epoch does no harm.
#[inline]
pub fn commit_went_back(standing: Standing) -> bool {
    standing == Standing::Forgotten
}

/// Rule 7: how a page of the log continues from a known position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStart {
    /// The first line is that of the position. The new lines follow it.
    AtPosition,
    /// The first line, if there is one, is new. The position is seq 0, which has no line.
    AfterPosition,
    /// The log holds another change at the position.
    OtherChange,
    /// The log begins after the position, or ends before it.
    Missing,
}

/// Rule 7: how a page of the log continues from the cursor. `first`: its first line. `clock`: the
/// shard's position.
#[inline]
pub fn log_start(cursor: Position, first: Option<Position>, clock: Position) -> LogStart {
    match first {
        Some(first) if first == cursor => LogStart::AtPosition,
        Some(first) if first.seq == cursor.seq => LogStart::OtherChange,
        _ if cursor.seq == 0 && (clock.seq > 0 || clock == cursor) => LogStart::AfterPosition,
        _ => LogStart::Missing,
    }
}

/// Rule 7: whether a line of the log follows the previous one without a gap.
#[inline]
pub fn is_next(seq: u64, previous: u64) -> bool {
    seq == previous + 1
}

/// Rules 7 and 10: whether a connection may be used. One that was opened before a contradiction, or
/// before a change of the primary, may lead to the old primary. Both arguments count these.
#[inline]
pub fn may_use_connection(opened: u64, now: u64) -> bool {
    opened == now
}

// ---- Rule 8: tokens

/// Rule 8: the position that memory must have applied for a reader with this token.
#[inline]
pub fn needed_position(token: Option<&Token>, shard: ShardId) -> Option<Position> {
    token.and_then(|token| token.mark(shard))
}

/// Rule 8: whether memory has applied the position of a token. After a failover another change may
/// have its seq, so the nonce must be the same.
#[inline]
pub fn has_applied_token(standing: Standing) -> bool {
    standing == Standing::Applied
}

/// Rules 7 and 8: whether an entry may be told to a reader. `token_cursor`: the cursor, for a
/// reader with a token. The history of an entry from ahead of the cursor is not checked yet.
#[inline]
pub fn may_tell(as_of: u64, same_epoch: bool, token_cursor: Option<Position>) -> bool {
    same_epoch && token_cursor.is_none_or(|cursor| as_of <= cursor.seq)
}

// ---- Rule 10: the primary

/// Rule 10: whether a server may be the primary. A read-only server is a replica, or a primary that
/// was demoted. What it says is never an unmarked answer.
#[inline]
pub fn is_primary(claim: &Claim) -> bool {
    claim.takes_writes
}

/// Rule 10: whether a connection to a server may be used as one to the primary.
#[inline]
pub fn may_lead(claim: &Claim) -> bool {
    is_primary(claim)
}

/// Rule 10: how long before its answer a server proved that it is the primary. `now`: the time of
/// the answer, by the server's clock. `None`: it has not proved it.
///
/// The beat of another server has the time of another clock, so it proves nothing.
#[inline]
pub fn proof_age(claim: &Claim, now: Micros) -> Option<Duration> {
    match claim.beat {
        None => Some(Duration::ZERO),
        Some(beat) if beat.by_this_server && beat.at <= now => Some(now.since(beat.at)),
        Some(_) => None,
    }
}

/// Rule 10: whether a proof is so old that a new beat is wanted. `age`: of the proof. `None`: there
/// is none.
#[inline]
pub fn wants_beat(age: Option<Duration>, interval: Duration) -> bool {
    age.is_none_or(|age| age > interval)
}

/// Rule 10: the time up to which a load is surely the primary's. Nothing that was committed before
/// it can be missing. `age`: as in [`proof_age`].
#[inline]
pub fn load_proven_at(sent: Boottime, age: Option<Duration>) -> Option<Boottime> {
    age.map(|age| sent.minus(age))
}

/// Rule 10: whether a load is proven for a waiter. `oldest`: the staleness limit before it arrived.
#[inline]
pub fn is_proven(proven_at: Option<Boottime>, oldest: Boottime) -> bool {
    proven_at.is_some_and(|proven_at| proven_at >= oldest)
}

/// Rule 10: how old the answer of a server that has not proved that it is the primary may be, as
/// far as it shows. It has seen all changes up to its last beat. A sole server shows nothing.
#[inline]
pub fn shown_age(claim: &Claim, now: Micros) -> Duration {
    claim.beat.map_or(Duration::ZERO, |beat| now.since(beat.at))
}

/// Rule 10: whether a load that is not proven is a degraded answer for a waiter. `age`: as in
/// [`shown_age`], at the moment of the answer. `floor`: as in [`satisfies`]; an answer from below it
/// lacks a change that is known here.
#[inline]
pub fn may_answer_degraded(
    token: Option<Position>,
    age: Duration,
    limit: Duration,
    seq: u64,
    floor: u64,
) -> bool {
    token.is_none() && seq >= floor && age < limit
}

/// Rule 10: whether the answer of a server that is not the primary may be a degraded answer. One of
/// another history may lack a change that is known here, whatever its seq. `standing`: of its
/// position. A history that parted from ours ahead of the cursor is not noticed.
#[inline]
pub fn may_stand_in(standing: Standing) -> bool {
    standing != Standing::Contradiction
}

/// Rule 10: whether a server of another role knows more than memory. Memory knows its keys as of
/// the cursor.
#[inline]
pub fn knows_more(seq: u64, cursor: Option<Position>) -> bool {
    cursor.is_none_or(|cursor| seq > cursor.seq)
}

/// Rule 10: whether a write that failed may be sent to the next primary. `not_done`: it certainly
/// was not carried out.
#[inline]
pub fn may_send_again(not_done: bool) -> bool {
    not_done
}

// ---- The filter

/// The filter: whether a page may be added. `from`: the cursor when the scan or the replay began.
/// The feed adds only the changes after `from`, so an older page would leave a gap. A forgotten
/// position cannot be checked (rule 7).
#[inline]
pub fn may_add_page(seq: u64, from: u64, standing: Standing, same_epoch: bool) -> bool {
    same_epoch && seq >= from && standing != Standing::Forgotten
}

/// The filter: whether it may begin to answer. `highest`: the highest seq that a page was read at.
/// A change after a page was read is in the filter once the feed has applied it.
#[inline]
pub fn has_applied_pages(highest: u64, cursor: u64) -> bool {
    highest <= cursor
}

/// The filter: whether it says that an id is surely not an alias.
#[inline]
pub fn rules_out(is_ready: bool, may_hold: bool, same_epoch: bool) -> bool {
    is_ready && !may_hold && same_epoch
}

/// The snapshot: how a page of the log continues from the position that a filter was saved at. Unlike
/// [`log_start`], it accepts no position without a line, because nothing shows that such a position is
/// of this history.
#[inline]
pub fn replay_start(saved: Position, first: Option<Position>) -> LogStart {
    match first {
        Some(first) if first == saved => LogStart::AtPosition,
        Some(first) if first.seq == saved.seq => LogStart::OtherChange,
        _ => LogStart::Missing,
    }
}

/// The snapshot: whether a line of the log follows the last replayed one without a gap.
#[inline]
pub fn replays_next(seq: u64, previous: u64) -> bool {
    is_next(seq, previous)
}

/// The snapshot: whether enough was replayed: beyond the cursor, or up to the end of the log.
///
/// Up to the cursor is not enough. The feed may have added the next change just before this filter
/// was registered, and may be about to move the cursor to it. That change is in the log already.
#[inline]
pub fn is_replayed(at: Position, cursor: u64, clock: Position) -> bool {
    at.seq > cursor || at == clock
}

// ---- The auditor

/// The auditor: whether an entry must equal the row that the primary had as of `at`. It must if the
/// feed has applied `at` and the entry is not newer than `at`. An entry says that nothing changed
/// from its seq to the cursor, and `at` lies between the two.
#[inline]
pub fn must_be_equal(as_of: u64, at: u64, standing: Standing) -> bool {
    standing == Standing::Applied && as_of <= at
}
