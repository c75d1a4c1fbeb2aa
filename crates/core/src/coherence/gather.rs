//! Gathers: the answers that one reader waits for, to one id or to the misses of a batch.

use super::answer::{Found, LookupFailure};
use crate::clock::Boottime;
use crate::sync::{AtomicBool, AtomicUsize, AtomicWaker, Mutex, Ordering};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

/// The answers of one reader. Flights deliver them, in any order and from any thread.
pub struct Gather {
    answers: Mutex<Vec<(u32, Result<Found, LookupFailure>)>>,
    pending: AtomicUsize,
    reader: AtomicWaker,
    /// When the reader stops waiting. No query is sent for it after that (P11).
    deadline: Boottime,
    gone: AtomicBool,
}

impl Gather {
    /// Waits for `count` answers.
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
            // The waker is registered before the count is read. So an answer that is delivered
            // after the read wakes the reader.
            self.reader.register(context.waker());
            match self.pending.load(Ordering::Acquire) {
                0 => Poll::Ready(()),
                _ => Poll::Pending,
            }
        })
        .await;
    }

    /// Takes the answers that were delivered since the last call. Each has the index of its id in
    /// the reader's request.
    pub fn take(&self) -> Vec<(u32, Result<Found, LookupFailure>)> {
        std::mem::take(&mut *self.answers.lock())
    }

    /// The reader has left. A query that no other reader waits for is not sent.
    pub fn leave(&self) {
        self.gone.store(true, Ordering::Release);
    }

    pub(super) fn is_waiting(&self, now: Boottime) -> bool {
        !self.gone.load(Ordering::Acquire) && now < self.deadline
    }
}
