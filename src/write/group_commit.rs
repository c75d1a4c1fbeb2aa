//! Group commit: the writes that wait for a shard share its next transaction.
//!
//! Every write must hold the shard's clock to its commit, so writes to one shard queue up; taking
//! them together makes the queue short. Databases group their own commits for the same reason.

use super::{Effect, Operation, Refused, evaluate};
use crate::clock::Boottime;
use crate::domain::Position;
use crate::hooks;
use crate::queue::Queue;
use crate::shard::{Link, Shard, ask, in_time};
use crate::store::{ChangeSet, Role, Session, StoreError, Wanted};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Steps that happen together, on one shard.
#[derive(Debug)]
pub struct Job {
    pub steps: Vec<Operation>,
    /// No transaction is begun for the job after this: the second step of a write comes within
    /// seconds of its first, or not at all, and a deadline is kept.
    pub not_after: Boottime,
}

/// A job that was carried out, or definitely refused.
#[derive(Clone, Debug)]
pub struct Written {
    pub effects: Result<Vec<Effect>, Refused>,
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
pub struct WriteQueue(Queue<(Job, Reply)>);

impl WriteQueue {
    pub(crate) fn new(capacity: usize) -> Self {
        Self(Queue::new(capacity))
    }

    /// Hands a job to the shard's writer and waits for what came of it. If the caller gives up
    /// waiting, the job goes on.
    pub async fn submit(&self, job: Job) -> Result<Written, WriteFault> {
        let (reply, answer) = oneshot::channel();
        if !self.0.push(vec![(job, reply)]).is_empty() {
            return Err(WriteFault::Overloaded);
        }
        // The writer answers every job; if it was stopped, nobody knows what it had done.
        answer.await.unwrap_or(Err(WriteFault::Unknown))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The writer of a shard; it ends when `stop` is cancelled, after the transaction that it is in.
pub(crate) async fn run(shard: Arc<Shard>, stop: CancellationToken) {
    let mut link = Link::new(shard.clone(), Role::Write);
    loop {
        let group = tokio::select! {
            () = stop.cancelled() => return,
            group = shard.writes.0.wait(shard.settings.write_batch) => group,
        };
        let now = Boottime::now();
        let (group, late): (Vec<_>, Vec<_>) =
            group.into_iter().partition(|(job, _)| now < job.not_after);
        answer_all(late, WriteFault::TooLate);
        if !group.is_empty() {
            commit_group(&shard, &mut link, group).await;
        }
    }
}

async fn commit_group(shard: &Shard, link: &mut Link, group: Vec<(Job, Reply)>) {
    let started = Instant::now();
    let transaction = transact(shard, link, &group).await;
    shard.metrics.transactions.increment(1);
    shard.metrics.transaction_jobs.record(group.len() as f64);
    shard.metrics.transaction_seconds.record(started.elapsed().as_secs_f64());
    let (answers, changes) = match transaction {
        Ok(done) => {
            hooks::crash("committed");
            done
        }
        Err((fault, error)) => {
            // Whatever state the transaction is in, it ends with its connection.
            link.close();
            shard.metrics.transaction_errors.increment(1);
            tracing::warn!(shard = shard.id.0, %error, %fault, "a write transaction failed");
            return answer_all(group, fault);
        }
    };
    shard.memory.committed(&changes.log, || {
        for ((_, reply), effects) in group.into_iter().zip(answers) {
            // Whoever does not wait any more will repeat the write, and find it done.
            let left_out = effects.as_ref().is_ok_and(Vec::is_empty);
            let _ = reply.send(match left_out {
                true => Err(WriteFault::TooLate),
                false => Ok(Written { effects, at: changes.at }),
            });
        }
    });
}

type Answers = Vec<Result<Vec<Effect>, Refused>>;

async fn transact(
    shard: &Shard,
    link: &mut Link,
    group: &[(Job, Reply)],
) -> Result<(Answers, ChangeSet), (WriteFault, StoreError)> {
    let not_written = |error| (WriteFault::NotWritten, error);
    let clock = ask!(link, |session| session.begin()).map_err(not_written)?;
    let session = link.opened().map_err(not_written)?;

    // The clock may have been long in coming: whose time is up meanwhile is left out.
    let now = Boottime::now();
    let jobs: Vec<&[Operation]> = group
        .iter()
        .map(|(job, _)| if now < job.not_after { job.steps.as_slice() } else { &[] })
        .collect();
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
    Ok((answers, changes))
}

async fn commit(session: &mut dyn Session, limit: std::time::Duration) -> Result<(), StoreError> {
    in_time(limit, "the database", session.commit()).await
}

fn answer_all(group: Vec<(Job, Reply)>, fault: WriteFault) {
    for (_, reply) in group {
        let _ = reply.send(Err(fault));
    }
}
