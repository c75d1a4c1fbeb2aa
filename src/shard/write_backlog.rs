//! The jobs that wait for a shard's writer, and their answers.

use super::queue::Queue;
use crate::store::StoreError;
use aka_core::clock::Boottime;
use aka_core::domain::{Bar, Position};
use aka_core::write::{Author, Effect, StepRefusal, WriteStep};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;

/// The steps of one write on one shard. They happen whole or not at all.
#[derive(Debug)]
pub struct Job {
    /// They are carried out in this order.
    pub steps: Vec<WriteStep>,
    /// Who does it. `None`: aka itself.
    pub author: Option<Author>,
    /// No transaction begins for the job after this time. So the second step of a write comes
    /// within seconds of its first or never, and deadlines are kept.
    pub not_after: Boottime,
}

/// The answer to a job that was carried out, or definitely refused.
#[derive(Clone, Debug)]
pub struct Written {
    /// The effect of each step, or the refusal of the first step that was not possible.
    pub effects: Result<Vec<Effect>, StepRefusal>,
    /// A position of the shard that includes the job.
    pub at: Position,
}

/// Why a job has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteFault {
    /// Too many jobs wait. Nothing was written.
    #[error("too many writes are waiting for the shard")]
    Overloaded,
    /// The job's time was over before it was begun. Nothing was written.
    #[error("the write was not begun in time")]
    TooLate,
    /// The shard could not be reached, or failed before the commit. Nothing was written.
    #[error("the shard could not be reached")]
    NotWritten,
    /// The shard's database answered, and does not let aka write. Nothing was written.
    #[error("the shard's database {0}")]
    Barred(Bar),
    /// The commit was sent and its answer was lost: it happened whole or not at all.
    #[error("the shard's answer was lost")]
    Unknown,
}

impl WriteFault {
    /// The fault of jobs whose transaction failed before its commit. Nothing was written.
    pub(super) fn before_commit(error: &StoreError) -> Self {
        error.bar().map_or(Self::NotWritten, Self::Barred)
    }
}

/// Jobs that may wait for a primary. More fail at once.
pub(super) const MOST_HELD: usize = 1_000;

/// A job that waits.
#[derive(Debug)]
pub(super) struct WaitingJob {
    pub job: Job,
    /// It waits for a primary up to this time.
    pub hold_until: Boottime,
    pub reply: oneshot::Sender<Result<Written, WriteFault>>,
}

/// The jobs that wait for one shard.
pub struct WriteBacklog {
    pub(super) jobs: Queue<WaitingJob>,
    /// How long a job waits for a primary, at most.
    longest_hold: Duration,
    /// There is no primary, so the jobs wait for one.
    is_holding: AtomicBool,
    /// Writers that hold the clock row, or that carry out a group.
    writing: AtomicUsize,
}

impl WriteBacklog {
    pub(super) fn new(capacity: usize, longest_hold: Duration) -> Self {
        Self {
            jobs: Queue::new(capacity),
            longest_hold,
            is_holding: AtomicBool::new(false),
            writing: AtomicUsize::new(0),
        }
    }

    /// Hands a job to the shard's writer, and waits for its answer. If the caller stops waiting,
    /// the job goes on.
    ///
    /// # Errors
    /// Each [`WriteFault`].
    pub async fn submit(&self, job: Job) -> Result<Written, WriteFault> {
        if self.held() >= MOST_HELD {
            return Err(WriteFault::NotWritten);
        }
        let (reply, answer) = oneshot::channel();
        let hold_until = Boottime::now().plus(self.longest_hold).min(job.not_after);
        let waiting = WaitingJob { job, hold_until, reply };
        if !self.jobs.push(vec![waiting]).is_empty() {
            return Err(WriteFault::Overloaded);
        }
        // The writer answers every job. If it was stopped, its last transaction may be committed.
        answer.await.unwrap_or(Err(WriteFault::Unknown))
    }

    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    /// How many jobs wait for a primary.
    pub(super) fn held(&self) -> usize {
        if self.is_holding.load(Ordering::Acquire) { self.len() } else { 0 }
    }

    /// Says whether the jobs wait for a primary.
    pub(super) fn hold(&self, is_holding: bool) {
        self.is_holding.store(is_holding, Ordering::Release);
    }

    /// Whether another writer is at work.
    pub(super) fn is_writing(&self) -> bool {
        self.writing.load(Ordering::Acquire) > 0
    }

    /// Marks a writer as at work until the mark is dropped.
    pub(super) fn begin_writing(&self) -> AtWork<'_> {
        self.writing.fetch_add(1, Ordering::AcqRel);
        AtWork(&self.writing)
    }
}

/// The mark of a writer that is at work.
pub(super) struct AtWork<'a>(&'a AtomicUsize);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
