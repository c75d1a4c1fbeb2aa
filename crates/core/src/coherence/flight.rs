//! Flights: the single load of a key, which all readers of that key wait for (rule 4, P12).
//!
//! The idea is groupcache's singleflight, with two differences. The load belongs to a lane's task,
//! so a reader that gives up does not hurt the others. And a reader does not take an answer that is
//! too old for it.
//!
//! Invariant: a flight is in its stripe's table from its first waiter until it has no waiters.

use super::answer::{Found, LookupFailure, Outcome};
use super::gather::Gather;
use super::law;
use crate::clock::Boottime;
use crate::domain::Position;
use crate::mutant::value;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// A reader of a key, and what it needs of the answer.
pub(super) struct Waiter {
    pub gather: Arc<Gather>,
    pub index: u32,
    /// An answer from below it is too old: see [`law::reader_floor`].
    pub floor: u64,
    /// The position of its token.
    pub token: Option<Position>,
    /// The first round of the flight that was sent late enough for this waiter.
    pub round: u64,
    /// A load that is not proven up to this time is too old for it: see [`law::is_proven`].
    pub oldest: Boottime,
    pub outcome: Outcome,
    /// How many rounds were sent late enough and still did not answer it.
    pub tries: u32,
}

/// The answer to the load of one key.
pub(super) struct Answer<'a> {
    /// The seq at which the row was read.
    pub seq: u64,
    /// The canonical id of the alias.
    pub canonical: Option<&'a Bytes>,
    /// The server that answered takes writes.
    pub from_primary: bool,
    /// The time up to which it is surely the primary's: see [`law::load_proven_at`].
    pub proven_at: Option<Boottime>,
}

/// The degraded answer for the waiters for whom a load is not proven (rule 10).
pub(super) struct Degraded {
    /// The last known state of the key, by the server that answered or by memory.
    pub canonical: Option<Bytes>,
    /// The seq that the state is as of.
    pub seq: u64,
    /// How old it may be: see [`law::shown_age`].
    pub age: Duration,
    /// The degraded limit.
    pub limit: Duration,
}

impl Degraded {
    /// The degraded answer of a waiter, if it may have one.
    fn give(&self, waiter: &Waiter) -> Result<Found, LookupFailure> {
        if !law::may_answer_degraded(waiter.token, self.age, self.limit, self.seq, waiter.floor) {
            return Err(LookupFailure::Unavailable);
        }
        let outcome = value!(Outcome::Degraded, ReplicaUnmarked => waiter.outcome);
        Ok(Found { canonical: self.canonical.clone(), outcome })
    }
}

/// One key that is being loaded. A flight may take several rounds, each of one query.
#[derive(Default)]
pub(super) struct Flight {
    waiters: Vec<Waiter>,
    /// How many queries were sent.
    rounds: u64,
    /// When the query that is out was sent; `None` while the key is queued.
    sent: Option<Boottime>,
    /// The last round in which the key changed while the query was out.
    overtaken: u64,
}

/// After this many tries a waiter fails. An answer is too old only in a race with a write or a
/// failover, so the limit is hardly ever reached.
const TRIES: u32 = 8;

impl Flight {
    /// The first round that a reader who comes now may take (rule 4). `oldest`: as in
    /// [`law::may_take_query`].
    pub fn earliest_round(&self, needs_later_query: bool, oldest: Boottime) -> u64 {
        let overtaken = self.was_overtaken();
        match self.sent {
            Some(sent) if !needs_later_query && law::may_take_query(sent, oldest, overtaken) => {
                self.rounds
            }
            _ => self.rounds + 1,
        }
    }

    pub fn join(&mut self, waiter: Waiter) {
        self.waiters.push(waiter);
    }

    /// The key changed. The answer to the query that is out is not kept, and readers that come
    /// later do not take it.
    pub fn overtake(&mut self) {
        if self.sent.is_some() {
            self.overtaken = self.rounds;
        }
    }

    /// A new epoch begins. The fences belong to the old history, so the floors are the new fence;
    /// the tokens stay. The query that is out answers no waiter.
    pub fn restart(&mut self, fence: u64) {
        self.overtake();
        for waiter in &mut self.waiters {
            waiter.floor = value!(law::reader_floor(fence, waiter.token), TokenFloorForgotten => 0);
            if self.sent.is_some() {
                waiter.round = self.rounds + 1;
            }
        }
    }

    /// The query is about to be sent. Returns false if no waiter is left, and then it is not sent.
    pub fn send(&mut self, now: Boottime) -> bool {
        self.waiters.retain(|waiter| waiter.gather.is_waiting(now));
        self.rounds += 1;
        self.sent = Some(now);
        !self.waiters.is_empty()
    }

    pub fn was_overtaken(&self) -> bool {
        self.overtaken == self.rounds
    }

    /// Gives an answer to the waiters that it satisfies. `degraded`: what the others may have, if
    /// it is not proven for them. Returns true if no waiter is left.
    pub fn land(&mut self, answer: &Answer<'_>, degraded: Option<&Degraded>) -> bool {
        let (rounds, seq) = (self.rounds, answer.seq);
        let is_proven = |waiter: &Waiter| {
            answer.from_primary && law::is_proven(answer.proven_at, waiter.oldest)
        };
        let satisfied = |waiter: &mut Waiter| {
            is_proven(waiter) && law::satisfies(seq, waiter.floor, waiter.round <= rounds)
        };
        for waiter in self.waiters.extract_if(.., satisfied) {
            let found = Found { canonical: answer.canonical.cloned(), outcome: waiter.outcome };
            waiter.gather.deliver(waiter.index, Ok(found));
        }
        let behind = |waiter: &mut Waiter| {
            let in_time = waiter.round <= rounds;
            answer.from_primary && law::is_behind_token(seq, waiter.token, in_time)
        };
        for waiter in self.waiters.extract_if(.., behind) {
            waiter.gather.deliver(waiter.index, Err(LookupFailure::TokenAhead));
        }
        let unproven = |waiter: &mut Waiter| waiter.round <= rounds && !is_proven(waiter);
        for waiter in self.waiters.extract_if(.., unproven) {
            let given = degraded.map(|degraded| degraded.give(&waiter));
            waiter.gather.deliver(waiter.index, given.unwrap_or(Err(LookupFailure::Unavailable)));
        }
        self.discard()
    }

    /// Ends a round for the waiters that are left. Its answer is too old for them, or belongs to
    /// another history. Returns true if no waiter is left.
    pub fn discard(&mut self) -> bool {
        let rounds = self.rounds;
        // For a waiter of a later round, this one was not a try.
        for waiter in self.waiters.iter_mut().filter(|waiter| waiter.round <= rounds) {
            waiter.tries += 1;
        }
        for waiter in self.waiters.extract_if(.., |waiter| waiter.tries >= TRIES) {
            waiter.gather.deliver(waiter.index, Err(LookupFailure::Unavailable));
        }
        self.sent = None;
        self.waiters.is_empty()
    }

    /// Fails all waiters.
    pub fn fail(self, failure: LookupFailure) {
        for waiter in self.waiters {
            waiter.gather.deliver(waiter.index, Err(failure));
        }
    }
}
