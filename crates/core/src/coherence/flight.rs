//! Flights: one load of a key, and all who wait for it.
//!
//! The idea is groupcache's singleflight. Two things differ: the load belongs to a lane's task, so
//! that a reader who gives up hurts nobody; and a reader may refuse what it gets as too old.

use super::law;
use crate::clock::Boottime;
use crate::sync::{AtomicBool, AtomicUsize, AtomicWaker, Mutex, Ordering};
use bytes::Bytes;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

/// Where an answer came from; also the metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// From the filter: surely no alias.
    Filtered,
    /// From memory: an alias.
    Hit,
    /// From memory: known to be no alias.
    NegativeHit,
    /// From a query made for this reader.
    Loaded,
    /// From a query made for an earlier reader of the same key.
    Coalesced,
    /// From memory, past the staleness limit, because the database did not answer.
    Degraded,
}

/// The answer to "is it an alias, and if so, of whom?".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub canonical: Option<Bytes>,
    pub outcome: Outcome,
}

/// Why nobody could find out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupFailure {
    /// The shard did not answer, or not in time.
    Unavailable,
    /// Too many reads are waiting for the shard already.
    Overloaded,
    /// The reader's deadline passed.
    DeadlineExceeded,
}

/// What one reader asked for and is still waiting for: one id, or the misses of a batch.
pub struct Gather {
    answers: Mutex<Vec<(u32, Result<Found, LookupFailure>)>>,
    pending: AtomicUsize,
    reader: AtomicWaker,
    /// When the reader stops waiting: no query is sent for it later.
    deadline: Boottime,
    gone: AtomicBool,
}

impl Gather {
    /// `count` answers will be [delivered](Self::deliver).
    pub fn new(count: usize, deadline: Boottime) -> Arc<Self> {
        Arc::new(Self {
            answers: Mutex::new(Vec::with_capacity(count)),
            pending: AtomicUsize::new(count),
            reader: AtomicWaker::new(),
            deadline,
            gone: AtomicBool::new(false),
        })
    }

    /// Answers the id at `index` of the reader's request.
    pub fn deliver(&self, index: u32, answer: Result<Found, LookupFailure>) {
        self.answers.lock().push((index, answer));
        if self.pending.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.reader.wake();
        }
    }

    /// Waits until every answer was delivered. Cancel safe.
    pub async fn complete(&self) {
        poll_fn(|context| {
            // Before the look at the count: an answer that comes after the look wakes the reader.
            self.reader.register(context.waker());
            match self.pending.load(Ordering::Acquire) {
                0 => Poll::Ready(()),
                _ => Poll::Pending,
            }
        })
        .await;
    }

    /// The answers that have been delivered since the last call.
    pub fn take(&self) -> Vec<(u32, Result<Found, LookupFailure>)> {
        std::mem::take(&mut *self.answers.lock())
    }

    /// The reader has left: what is not yet sent for it alone need not be.
    pub fn leave(&self) {
        self.gone.store(true, Ordering::Release);
    }

    fn is_waiting(&self, now: Boottime) -> bool {
        !self.gone.load(Ordering::Acquire) && now < self.deadline
    }
}

/// A reader of a key, and what it needs of the answer.
pub(super) struct Waiter {
    pub gather: Arc<Gather>,
    pub index: u32,
    /// The stripe's fence when it joined: an answer as of an earlier seq is too old for it.
    pub floor: u64,
    /// The first round of the flight that was, or will be, sent late enough for it.
    pub round: u64,
    pub outcome: Outcome,
    /// Answers that were sent late enough for it, and still too old.
    pub tries: u32,
}

/// One key being loaded. A flight may take several rounds of queries.
#[derive(Default)]
pub(super) struct Flight {
    waiters: Vec<Waiter>,
    /// How many queries were sent.
    rounds: u64,
    /// When the query that is out was sent; `None`: it is queued.
    sent: Option<Boottime>,
    /// The key changed while this round was out.
    overtaken: u64,
}

/// How often a reader may be given an answer that is too old for it before it is told that nobody could
/// find out. That happens only in a race with a write or a failover, so it is hardly ever reached.
const TRIES: u32 = 8;

impl Flight {
    /// The first round that a reader who comes now may take (rule 4). `oldest`: when its query may have been
    /// sent at the earliest.
    pub fn earliest_round(&self, must_be_sent_later: bool, oldest: Boottime) -> u64 {
        let overtaken = self.overtaken == self.rounds;
        match self.sent {
            Some(sent) if !must_be_sent_later && law::may_take_query(sent, oldest, overtaken) => {
                self.rounds
            }
            _ => self.rounds + 1,
        }
    }

    pub fn join(&mut self, waiter: Waiter) {
        self.waiters.push(waiter);
    }

    /// The key changed: who comes later must not take the query that is out, and its answer is not
    /// kept.
    pub fn overtake(&mut self) {
        if self.sent.is_some() {
            self.overtaken = self.rounds;
        }
    }

    /// A new history begins: floors of the old one mean nothing, and the query that is out is
    /// nobody's.
    pub fn restart(&mut self) {
        self.overtake();
        for waiter in &mut self.waiters {
            waiter.floor = 0;
            if self.sent.is_some() {
                waiter.round = self.rounds + 1;
            }
        }
    }

    /// The query is about to be sent. False if nobody is waiting any more.
    pub fn send(&mut self, now: Boottime) -> bool {
        self.waiters.retain(|waiter| waiter.gather.is_waiting(now));
        self.rounds += 1;
        self.sent = Some(now);
        !self.waiters.is_empty()
    }

    pub fn was_overtaken(&self) -> bool {
        self.overtaken == self.rounds
    }

    /// An answer as of `seq` came. Gives it to all whom it satisfies; true if that is everybody.
    pub fn land(&mut self, seq: u64, canonical: Option<&Bytes>) -> bool {
        let rounds = self.rounds;
        let satisfied = |waiter: &mut Waiter| waiter.floor <= seq && waiter.round <= rounds;
        for waiter in self.waiters.extract_if(.., satisfied) {
            let found = Found { canonical: canonical.cloned(), outcome: waiter.outcome };
            waiter.gather.deliver(waiter.index, Ok(found));
        }
        self.discard()
    }

    /// The answer is nobody's who still waits: it is too old, or of another history. True if nobody
    /// waits any more.
    pub fn discard(&mut self) -> bool {
        let rounds = self.rounds;
        for waiter in self.waiters.iter_mut().filter(|waiter| waiter.round <= rounds) {
            waiter.tries += 1;
        }
        // Only who was disappointed that often: others may have come this moment.
        for waiter in self.waiters.extract_if(.., |waiter| waiter.tries >= TRIES) {
            waiter.gather.deliver(waiter.index, Err(LookupFailure::Unavailable));
        }
        self.sent = None;
        self.waiters.is_empty()
    }

    pub fn fail(self, failure: LookupFailure) {
        for waiter in self.waiters {
            waiter.gather.deliver(waiter.index, Err(failure));
        }
    }
}
