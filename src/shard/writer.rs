//! Group commit: the writes that wait for a shard share its next transaction.
//!
//! Every write must hold the shard's clock to its commit, so writes to one shard queue up; taking
//! them together makes the queue short. Databases group their own commits for the same reason.

use super::queue::Queue;
use super::{Shard, ShardConnection, ask, in_time};
use crate::hooks;
use crate::store::{Role, Session, StoreError};
use aka_core::clock::Boottime;
use aka_core::domain::Position;
use aka_core::write::{ChangeSet, Clock, Effect, StepRefusal, Wanted, WriteStep, evaluate};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Steps that happen together, on one shard.
#[derive(Debug)]
pub struct Job {
    pub steps: Vec<WriteStep>,
    /// No transaction is begun for the job after this: the second step of a write comes within
    /// seconds of its first, or not at all, and a deadline is kept.
    pub not_after: Boottime,
}

/// A job that was carried out, or definitely refused.
#[derive(Clone, Debug)]
pub struct Written {
    pub effects: Result<Vec<Effect>, StepRefusal>,
    /// A position of the shard that includes the job.
    pub at: Position,
}

/// A job that nobody can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteFault {
    /// Too many writes are waiting. Nothing was written.
    #[error("too many writes are waiting for the shard")]
    Overloaded,
    /// The job's time was up before it was begun. Nothing was written.
    #[error("the write was not begun in time")]
    TooLate,
    /// The shard could not be reached, or gave up before the commit. Nothing was written.
    #[error("the shard could not be reached")]
    NotWritten,
    /// The commit was sent and not answered: it happened whole or not at all.
    #[error("the shard's answer was lost")]
    Unknown,
}

type Reply = oneshot::Sender<Result<Written, WriteFault>>;

/// The writes that wait for one shard.
pub struct WriteQueue {
    jobs: Queue<(Job, Reply)>,
    /// Writers that have the clock, or try to commit.
    writing: AtomicUsize,
}

/// One of the [writers](WriteQueue::writing).
struct Writing<'a>(&'a AtomicUsize);

impl<'a> Writing<'a> {
    fn begin(writing: &'a AtomicUsize) -> Self {
        writing.fetch_add(1, Ordering::AcqRel);
        Self(writing)
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl WriteQueue {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { jobs: Queue::new(capacity), writing: AtomicUsize::new(0) }
    }

    /// Hands a job to the shard's writer and waits for what came of it. If the caller gives up
    /// waiting, the job goes on.
    pub async fn submit(&self, job: Job) -> Result<Written, WriteFault> {
        let (reply, answer) = oneshot::channel();
        if !self.jobs.push(vec![(job, reply)]).is_empty() {
            return Err(WriteFault::Overloaded);
        }
        // The writer answers every job; if it was stopped, nobody knows what it had done.
        answer.await.unwrap_or(Err(WriteFault::Unknown))
    }

    pub(crate) fn len(&self) -> usize {
        self.jobs.len()
    }
}

/// One writer of a shard; it ends when `stop` is cancelled, after the transaction that it is in.
///
/// Where a shard has two, one waits for the clock while the other still writes, and goes on at the
/// moment of its commit.
pub(crate) async fn run(shard: Arc<Shard>, stop: CancellationToken) {
    let mut connection = ShardConnection::new(shard.clone(), Role::Write);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = shard.writes.jobs.filled() => {}
        }
        commit_next(&shard, &mut connection).await;
    }
}

/// Takes the clock first and then the jobs: the group is as large as it can be, jobs are carried out
/// in the order in which they came, and none is begun after its time.
async fn commit_next(shard: &Shard, connection: &mut ShardConnection) {
    let began = ask!(&mut *connection, |session| session.begin());
    let slow = matches!(&began, Err(StoreError::TimedOut { .. } | StoreError::Busy { .. }));
    if slow && shard.writes.writing.load(Ordering::Acquire) > 0 {
        // The other writer has the clock, and takes long: the jobs wait for it, until their time is up.
        return connection.close();
    }
    let _writing = Writing::begin(&shard.writes.writing);
    let started = Instant::now();
    let now = Boottime::now();
    let (group, late): (Vec<_>, Vec<_>) = shard
        .writes
        .jobs
        .take(shard.settings.write_batch)
        .into_iter()
        .partition(|(job, _)| now < job.not_after);
    answer_all(late, WriteFault::TooLate);
    if group.is_empty() {
        // The other writer was faster. What cannot be rolled back ends with its connection.
        let rolled_back = match connection.opened() {
            Ok(session) => {
                let limit = shard.settings.query_timeout;
                in_time(limit, "the database", session.rollback()).await
            }
            Err(closed) => Err(closed),
        };
        if rolled_back.is_err() {
            connection.close();
        }
        return;
    }
    let transaction = match began {
        Ok(clock) => transact(shard, connection, &group, clock).await,
        Err(error) => Err((WriteFault::NotWritten, error)),
    };
    shard.metrics.transactions.increment(1);
    shard.metrics.transaction_jobs.record(group.len() as f64);
    shard.metrics.transaction_seconds.record(started.elapsed().as_secs_f64());
    match transaction {
        Ok((answers, changes)) => acknowledge(shard, group, answers, &changes),
        Err((fault, error)) => {
            // Whatever state the transaction is in, it ends with its connection.
            connection.close();
            shard.metrics.transaction_errors.increment(1);
            tracing::warn!(shard = shard.id.0, %error, %fault, "a write transaction failed");
            answer_all(group, fault);
        }
    }
}

type Answers = Vec<Result<Vec<Effect>, StepRefusal>>;

async fn transact(
    shard: &Shard,
    connection: &mut ShardConnection,
    group: &[(Job, Reply)],
    clock: Clock,
) -> Result<(Answers, ChangeSet), (WriteFault, StoreError)> {
    let not_written = |error| (WriteFault::NotWritten, error);
    let session = connection.opened().map_err(not_written)?;
    let jobs: Vec<&[WriteStep]> = group.iter().map(|(job, _)| job.steps.as_slice()).collect();
    let mut wanted = Wanted::default();
    jobs.iter().copied().flatten().for_each(|step| step.wants(&mut wanted));
    wanted.settle();

    let limit = shard.settings.query_timeout;
    let seen = in_time(limit, "the database", session.read_set(&wanted)).await;
    let owns = |slot| shard.owns(slot);
    let (answers, changes) = evaluate(&jobs, seen.map_err(not_written)?, clock, owns);
    if changes.is_empty() {
        in_time(limit, "the database", session.rollback()).await.map_err(not_written)?;
        return Ok((answers, changes));
    }
    in_time(limit, "the database", session.write(&changes)).await.map_err(not_written)?;
    hooks::crash("written");
    commit(session, limit).await.map_err(|error| (WriteFault::Unknown, error))?;
    hooks::crash("committed");
    Ok((answers, changes))
}

/// Tells this instance's memory what was committed, then whoever waits. In this order (rule 5): who
/// is answered, and then reads here, sees it.
fn acknowledge(shard: &Shard, group: Vec<(Job, Reply)>, answers: Answers, changes: &ChangeSet) {
    shard.memory.committed(&changes.log, || {
        for ((_, reply), effects) in group.into_iter().zip(answers) {
            // Whoever does not wait any more will repeat the write, and find it done.
            let _ = reply.send(Ok(Written { effects, at: changes.at }));
        }
    });
}

async fn commit(session: &mut dyn Session, limit: std::time::Duration) -> Result<(), StoreError> {
    in_time(limit, "the database", session.commit()).await
}

fn answer_all(group: Vec<(Job, Reply)>, fault: WriteFault) {
    for (_, reply) in group {
        let _ = reply.send(Err(fault));
    }
}
