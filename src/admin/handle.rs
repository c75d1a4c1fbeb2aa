//! `Admin`, and what all its operations share: reads, jobs, and answers.

use super::refusal::Refusal;
use super::request::Rules;
use crate::quotas::{QuotaKind, Quotas};
use crate::shard::{Cluster, Job, ReadPool, Shard, WriteFault, Written};
use aka_core::clock::Boottime;
use aka_core::coherence::LookupFailure;
use aka_core::domain::{ForwardRow, Key, Position, Project, Token};
use aka_core::write::{Author, Effect, STEP_LIMIT, WriteStep};
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Writes aliases and shows them. A handle: a clone is cheap.
#[derive(Clone)]
pub struct Admin {
    pub(super) cluster: Arc<Cluster>,
    pub(super) rules: Arc<Rules>,
    quotas: Quotas,
    /// Who makes its writes. `None`: aka itself.
    author: Option<Author>,
}

/// An alias as it is shown to a client.
#[derive(Clone, Debug)]
pub struct AliasView {
    pub alias: Key,
    pub row: ForwardRow,
}

/// The answer to a create or an update.
#[derive(Clone, Debug)]
pub struct WriteAnswer {
    /// The alias as it is now. A dry run shows version 0 and no times.
    pub view: AliasView,
    /// Whether anything was written.
    pub changed: bool,
    /// `None` for a dry run.
    pub token: Option<Token>,
}

impl Admin {
    pub fn new(cluster: Arc<Cluster>, rules: Rules, quotas: Quotas) -> Self {
        Self { cluster, rules: Arc::new(rules), quotas, author: None }
    }

    /// The same, with writes that this author makes.
    pub fn by(&self, author: Author) -> Self {
        Self { author: Some(author), ..self.clone() }
    }

    /// Takes writes from the quota of a project, all or none.
    pub(super) fn take_writes(&self, project: Project, count: usize) -> Result<(), Refusal> {
        self.quotas.take(project, QuotaKind::Writes, count).map_err(Refusal::Quota)
    }

    /// Runs a write to its end, also if its client has gone.
    pub fn run_to_completion<T: Send + 'static>(
        &self,
        write: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.cluster.run_to_completion(write)
    }

    pub(super) fn shard(&self, key: &Key) -> Result<&Arc<Shard>, Refusal> {
        self.cluster.shard_of(key).ok_or_else(|| unowned(&self.cluster))
    }

    pub(super) fn pool(&self, key: &Key) -> Result<&ReadPool, Refusal> {
        self.cluster.pool_of(key).ok_or_else(|| unowned(&self.cluster))
    }

    /// The forward row of a key on the primary, and the position that it was read at.
    pub(super) async fn read(&self, key: &Key) -> Result<(Option<ForwardRow>, Position), Refusal> {
        let loaded = self.shard(key)?.load(vec![key.clone()]).await?;
        Ok((loaded.rows.get(key).cloned(), loaded.at))
    }

    /// Carries out one job on the shard of `key`. A job whose time is over is not queued: its
    /// client must hear that, and not that the queue is full.
    pub(super) async fn write(
        &self,
        key: &Key,
        steps: Vec<WriteStep>,
        last_start: LastStart,
    ) -> Result<Written, Refusal> {
        let LastStart { not_after, too_late } = last_start;
        let backlog = &self.shard(key)?.write_backlog;
        if Boottime::now() >= not_after {
            return Err(too_late);
        }
        backlog.submit(Job { steps, author: self.author.clone(), not_after }).await.map_err(
            |fault| match fault {
                WriteFault::TooLate => too_late,
                WriteFault::Overloaded => Refusal::Overloaded,
                WriteFault::NotWritten => Refusal::Unavailable,
                WriteFault::Barred(bar) => Refusal::Barred(bar),
                WriteFault::Unknown => Refusal::Unknown,
            },
        )
    }

    /// Tells memory that a client is about to be shown the state of a key as of `at`. It counts as
    /// a local write (rule 5): a client that has seen it must not be answered an older state.
    pub(super) fn note_shown(&self, key: &Key, at: Position, is_alias: bool) {
        if let Ok(shard) = self.shard(key) {
            shard.memory.note_local_write(key, at, is_alias);
        }
    }

    /// The token of a position of the shard of `key`.
    pub(super) fn token(&self, key: &Key, at: Position) -> Result<Token, Refusal> {
        Ok(Token::new(self.cluster.id, self.shard(key)?.id, at))
    }

    /// The answer to a job that wrote the alias. Its writer has told memory already.
    pub(super) fn written(
        &self,
        alias: &Key,
        effects: Vec<Effect>,
        at: Position,
    ) -> Result<WriteAnswer, Refusal> {
        let row = effects.into_iter().find_map(|effect| match effect {
            Effect::Linked { row, .. } => Some(row),
            _ => None,
        });
        // A job with a link or relink step always has this effect.
        let row = row.ok_or(Refusal::Unknown)?;
        self.answer(alias, row, at, true)
    }

    /// The answer if the alias was already as wanted, as of `at`.
    pub(super) fn unchanged(
        &self,
        alias: &Key,
        row: ForwardRow,
        at: Position,
    ) -> Result<WriteAnswer, Refusal> {
        self.note_shown(alias, at, true);
        self.answer(alias, row, at, false)
    }

    fn answer(
        &self,
        alias: &Key,
        row: ForwardRow,
        at: Position,
        changed: bool,
    ) -> Result<WriteAnswer, Refusal> {
        let (view, token) = (AliasView { alias: alias.clone(), row }, self.token(alias, at)?);
        Ok(WriteAnswer { view, changed, token: Some(token) })
    }
}

/// The refusal if no shard owns an id yet.
fn unowned(cluster: &Cluster) -> Refusal {
    match cluster.unowned() {
        LookupFailure::Barred(bar) => Refusal::Barred(bar),
        _ => Refusal::Unavailable,
    }
}

/// Until when a write may begin a step.
#[derive(Clone)]
pub(super) struct LastStart {
    not_after: Boottime,
    /// What the client is told after that time.
    too_late: Refusal,
}

impl LastStart {
    /// That of a write which begins now: the client's deadline, or [`STEP_LIMIT`] if that is
    /// sooner. Only a job that waited for the whole of [`STEP_LIMIT`] is the queue's fault.
    pub fn before(deadline: Boottime) -> Self {
        let limit = Self::from_now();
        match deadline <= limit.not_after {
            true => Self { not_after: deadline, too_late: Refusal::DeadlineExceeded },
            false => limit,
        }
    }

    /// That of a write which begins now, and for which no client waits.
    pub fn from_now() -> Self {
        let not_after = Boottime::now().plus(STEP_LIMIT);
        Self { not_after, too_late: Refusal::Overloaded }
    }
}
