//! Group commit: the jobs that wait for a shard share its next transaction.
//!
//! Every write holds the shard's clock row until its commit, so the writes of a shard queue up.
//! Taking all of them at once keeps the queue short.

use super::connection::{RECONNECT_PAUSE, ShardConnection, ask, in_time};
use super::state::Shard;
use super::write_backlog::{MOST_HELD, WaitingJob, WriteFault, Written};
use crate::hooks;
use crate::store::{CommitFailure, Role, Session, StoreError};
use aka_core::clock::Boottime;
use aka_core::coherence::{is_primary, may_send_again};
use aka_core::domain::Bar;
use aka_core::write::{Author, ChangeSet, Clock, Effect, StepRefusal, Wanted, WriteStep, evaluate};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Runs one writer of a shard. After `stop` is cancelled it finishes its transaction and ends.
///
/// If a shard has two writers, one waits for the clock row while the other writes, and goes on at
/// the moment of the other's commit.
pub(super) async fn run(shard: Arc<Shard>, stop: CancellationToken) {
    let mut connection = ShardConnection::new(shard.clone(), Role::Write);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = shard.write_backlog.jobs.filled() => {}
            () = connection.idle_too_long() => {
                connection.close();
                continue;
            }
        }
        if shard.is_group() && !shard.primary.is_known() {
            tokio::select! {
                () = stop.cancelled() => return answer_all(
                    shard.write_backlog.jobs.take(usize::MAX), WriteFault::NotWritten),
                () = hold(&shard) => continue,
            }
        }
        commit_next(&shard, &mut connection).await;
    }
}

/// The longest pause between two looks at the jobs that are held. One that came later may end first.
const LONGEST_HOLD_PAUSE: Duration = Duration::from_millis(50);

/// Holds the jobs while there is no primary, each up to its limit.
async fn hold(shard: &Shard) {
    let backlog = &shard.write_backlog;
    backlog.hold(true);
    while !shard.primary.is_known() {
        let now = Boottime::now();
        answer_all(backlog.jobs.take_beyond(MOST_HELD), WriteFault::NotWritten);
        let over = backlog.jobs.take_if(|waiting| waiting.hold_until <= now);
        answer_all(over, WriteFault::NotWritten);
        let next = backlog.jobs.least(|waiting| waiting.hold_until);
        let pause = next.map_or(LONGEST_HOLD_PAUSE, |next| next.since(now).min(LONGEST_HOLD_PAUSE));
        tokio::select! {
            () = shard.primary.found() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
    backlog.hold(false);
}

/// Carries out the next group.
///
/// The clock row is locked before the jobs are taken. So the group is as large as possible, jobs
/// are carried out in the order in which they came, and no job begins after its time.
async fn commit_next(shard: &Shard, connection: &mut ShardConnection) {
    let backlog = &shard.write_backlog;
    let began = ask!(&mut *connection, |session| session.begin());
    let slow = matches!(&began, Err(StoreError::TimedOut { .. } | StoreError::Busy { .. }));
    if slow && backlog.is_writing() {
        // The other writer has held the clock row for long. The jobs wait for it, up to their
        // limits.
        return connection.close();
    }
    let _at_work = backlog.begin_writing();
    let jobs = backlog.jobs.take(shard.store.write_batch());
    let (mut groups, mut began) = (vec![jobs], Some(began));
    while let Some(group) = groups.pop() {
        let began = match began.take() {
            Some(began) => began,
            None => ask!(&mut *connection, |session| session.begin()),
        };
        if let Some(mut group) = carry_out(shard, connection, group, began).await {
            // One of the jobs needs a longer statement than the server takes. Only that one may
            // fail.
            let second_half = group.split_off(group.len() / 2);
            groups.extend([second_half, group]);
        }
    }
}

/// Carries out a group of jobs in the transaction that has begun, and answers them. Returns the
/// group if one of its statements was too long for the server, and there is more than one job.
async fn carry_out(
    shard: &Shard,
    connection: &mut ShardConnection,
    jobs: Vec<WaitingJob>,
    began: Result<Clock, StoreError>,
) -> Option<Vec<WaitingJob>> {
    let (started, now) = (Instant::now(), Boottime::now());
    let (group, late): (Vec<_>, Vec<_>) =
        jobs.into_iter().partition(|waiting| now < waiting.job.not_after);
    answer_all(late, WriteFault::TooLate);
    if group.is_empty() {
        // The other writer took the jobs.
        roll_back(shard, connection).await;
        return None;
    }
    let transaction = match began {
        Ok(clock) => {
            connection.heed(&clock.claim, clock.now);
            transact(shard, connection, &group, clock).await
        }
        Err(error) => Err((WriteFault::before_commit(&error), error)),
    };
    shard.metrics.transactions.increment(1);
    shard.metrics.transaction_jobs.record(group.len() as f64);
    shard.metrics.transaction_seconds.record(started.elapsed().as_secs_f64());
    match transaction {
        Ok((answers, changes)) => {
            if !changes.is_empty() {
                shard.health.note_write(None);
            }
            acknowledge(shard, group, answers, &changes);
        }
        Err((fault, error)) => {
            shard.metrics.transaction_errors.increment(1);
            tracing::warn!(shard = shard.id.0, %error, %fault, "a write transaction failed");
            if matches!(error, StoreError::TooLarge { .. }) {
                // The statement was not sent.
                roll_back(shard, connection).await;
                if group.len() > 1 {
                    return Some(group);
                }
            } else {
                // The transaction may still be open: it ends with its connection.
                connection.close();
            }
            if error.bar().is_some() {
                shard.health.note_write(Some(&error));
            }
            let held = hold_back(shard, group, fault, &error).await;
            answer_all(held, fault);
        }
    }
    None
}

/// Puts the jobs of a failed transaction back into the queue if the primary is lost, and they were
/// surely not done (rule 10). They are sent to the next one. Returns those that may not wait.
async fn hold_back(
    shard: &Shard,
    group: Vec<WaitingJob>,
    fault: WriteFault,
    error: &StoreError,
) -> Vec<WaitingJob> {
    let is_demoted = error.bar() == Some(Bar::ReadOnly);
    let may_be_lost = is_demoted || error.closes_connection();
    if !shard.is_group() || !may_be_lost || !may_send_again(fault != WriteFault::Unknown) {
        return group;
    }
    if is_demoted {
        shard.lose_primary(error);
    }
    let now = Boottime::now();
    let (held, over): (Vec<_>, Vec<_>) =
        group.into_iter().partition(|waiting| now < waiting.hold_until);
    shard.write_backlog.jobs.put_back(held);
    // The guardian finds out meanwhile whether the primary is lost. Another attempt before that
    // would fail like this one.
    let _ = tokio::time::timeout(RECONNECT_PAUSE, shard.primary.changed()).await;
    over
}

/// Rolls back a transaction that has nothing to do. If that fails, the connection is closed, and
/// the transaction ends with it.
async fn roll_back(shard: &Shard, connection: &mut ShardConnection) {
    let limit = shard.settings.query_timeout;
    let rolled_back = match connection.session() {
        Ok(session) => in_time(limit, "the database", session.rollback()).await,
        Err(closed) => Err(closed),
    };
    if rolled_back.is_err() {
        connection.close();
    }
}

/// One answer for each job of a group.
type JobAnswers = Vec<Result<Vec<Effect>, StepRefusal>>;

/// Reads the rows that the jobs need, evaluates the jobs, and writes and commits what came of them.
async fn transact(
    shard: &Shard,
    connection: &mut ShardConnection,
    group: &[WaitingJob],
    clock: Clock,
) -> Result<(JobAnswers, ChangeSet), (WriteFault, StoreError)> {
    let not_written = |error: StoreError| {
        shard.note_error(&error);
        (WriteFault::before_commit(&error), error)
    };
    if shard.is_group() && !is_primary(&clock.claim) {
        // A user with many rights can write there all the same.
        return Err(not_written(StoreError::no_primary(shard.address())));
    }
    let session = connection.session().map_err(not_written)?;
    let jobs: Vec<&[WriteStep]> =
        group.iter().map(|waiting| waiting.job.steps.as_slice()).collect();
    let mut wanted = Wanted::default();
    jobs.iter().copied().flatten().for_each(|step| step.wants(&mut wanted));
    wanted.settle();

    let limit = shard.settings.query_timeout;
    let seen = in_time(limit, "the database", session.read_set(&wanted)).await;
    let owns = |slot| shard.owns(slot);
    let (answers, changes) = evaluate(&jobs, seen.map_err(not_written)?, clock, owns);
    if changes.is_empty() {
        // Nothing is committed, so nothing has proved yet that this is the primary (rule 10).
        if !shard.is_proven(&clock.claim, clock.now) {
            return Err(not_written(StoreError::no_primary(shard.address())));
        }
        in_time(limit, "the database", session.rollback()).await.map_err(not_written)?;
        return Ok((answers, changes));
    }
    let author = |job: &usize| group.get(*job).and_then(|waiting| waiting.job.author.as_ref());
    let authors: Vec<Option<&Author>> = changes.jobs.iter().map(author).collect();
    in_time(limit, "the database", session.write(&changes, &authors)).await.map_err(not_written)?;
    hooks::crash("written");
    commit(session, limit).await.map_err(|CommitFailure { error, rolled_back }| {
        let known = not_written(error);
        if rolled_back { known } else { (WriteFault::Unknown, known.1) }
    })?;
    hooks::crash("committed");
    Ok((answers, changes))
}

/// Commits, in time. After a time-out the outcome is unknown.
async fn commit(session: &mut dyn Session, limit: Duration) -> Result<(), CommitFailure> {
    let committed = in_time(limit, "the database", async { Ok(session.commit().await) }).await;
    committed.unwrap_or_else(|error| Err(CommitFailure { error, rolled_back: false }))
}

/// Tells memory what was committed, and then answers the jobs. The order is rule 5: a client that
/// was answered and then reads here must see its write.
fn acknowledge(shard: &Shard, group: Vec<WaitingJob>, answers: JobAnswers, changes: &ChangeSet) {
    shard.memory.committed(&changes.log, || {
        for (WaitingJob { reply, .. }, effects) in group.into_iter().zip(answers) {
            // It fails if the caller has gone. A client that repeats the write finds it done.
            let _ = reply.send(Ok(Written { effects, at: changes.at }));
        }
    });
}

fn answer_all(group: Vec<WaitingJob>, fault: WriteFault) {
    for WaitingJob { reply, .. } in group {
        let _ = reply.send(Err(fault));
    }
}
