//! What a write means: creating, re-pointing, deleting and showing aliases (section 2 of the design).
//!
//! An alias is written in two steps, because its two ids may live on two shards: an inverse row pins
//! the canonical id, then the forward row makes the alias. All that is known of an id lives in its
//! own slot, so each step is one local transaction. TAO, Meta's graph store, keeps its inverse
//! associations so.

mod batch;
mod create;
mod delete;
mod follow;
mod list;
mod pins;
mod refusal;
mod sweeper;
mod update;

pub use create::NewAlias;
pub use list::{MAX_PAGE, Page};
pub use refusal::{Refusal, Subject};
pub use sweeper::sweep_forever;

use crate::shard::{Cluster, ReadFault, Shard};
use crate::shard::{Job, WriteFault, Written};
use aka_core::clock::Boottime;
use aka_core::domain::{ForwardRow, Id, InverseRow, Key, Placeholders, Position, Project, Token};
use aka_core::write::{STEP_LIMIT, WriteStep};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// How long an answer waits for an inverse row that is not needed any more to be taken away.
const CLEAN_UP: Duration = Duration::from_millis(250);

/// How often a write that another one was in the way of is tried again before the client is asked to.
const RETRIES: u32 = 5;

/// Writes aliases and shows them. One for the service; cheap to share.
#[derive(Clone)]
pub struct Admin {
    cluster: Arc<Cluster>,
    rules: Arc<Rules>,
}

/// What may be an alias.
#[derive(Clone, Debug)]
pub struct Rules {
    pub placeholders: Placeholders,
    /// How many aliases one canonical id may have.
    pub max_aliases: u64,
}

/// An alias as it is shown.
#[derive(Clone, Debug)]
pub struct Shown {
    pub alias: Key,
    pub row: ForwardRow,
}

/// The answer to a write.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The alias as it is now. A dry run shows version 0 and no times.
    pub shown: Shown,
    /// Whether anything was written.
    pub changed: bool,
    /// `None` for a dry run.
    pub token: Option<Token>,
}

impl Admin {
    pub fn new(cluster: Arc<Cluster>, rules: Rules) -> Self {
        Self { cluster, rules: Arc::new(rules) }
    }

    /// Shows an alias, read from the primary.
    pub async fn get(&self, project_id: u64, alias_id: Bytes) -> Result<Shown, Refusal> {
        let alias = Key::new(project(project_id)?, id(Subject::Alias, alias_id)?);
        let (row, at) = self.read(&alias).await?;
        self.shown(&alias, at, row.is_some());
        Ok(Shown { row: row.ok_or(Refusal::NotFound)?, alias })
    }

    /// Both ids of a write, valid and no placeholders.
    fn pair(&self, project_id: u64, alias: Bytes, canonical: Bytes) -> Result<(Key, Key), Refusal> {
        let project = project(project_id)?;
        let checked = |subject, bytes| {
            let id = id(subject, bytes)?;
            match self.rules.placeholders.contains(id.as_bytes()) {
                true => Err(Refusal::Placeholder(subject)),
                false => Ok(id),
            }
        };
        let alias = Key::new(project, checked(Subject::Alias, alias)?);
        let canonical = Key::new(project, checked(Subject::Canonical, canonical)?);
        if alias == canonical { Err(Refusal::SelfAlias) } else { Ok((alias, canonical)) }
    }

    fn shard(&self, key: &Key) -> Result<&Arc<Shard>, Refusal> {
        self.cluster.shard_of(key).ok_or(Refusal::Unavailable)
    }

    /// The forward row of a key on the primary, and when it was so.
    async fn read(&self, key: &Key) -> Result<(Option<ForwardRow>, Position), Refusal> {
        let loaded = self.shard(key)?.load(vec![key.clone()]).await?;
        Ok((loaded.rows.get(key).cloned(), loaded.at))
    }

    /// What of a key is about to be shown (that it is an alias, or that it is none) is as of `at`. It counts as a write of this instance
    /// (rule 5): who has seen it must not be answered an older state.
    fn shown(&self, key: &Key, at: Position, is_alias: bool) {
        if let Ok(shard) = self.shard(key) {
            shard.memory.wrote(key, at, is_alias);
        }
    }

    /// Carries out steps on the shard of `key`.
    async fn write(
        &self,
        key: &Key,
        steps: Vec<WriteStep>,
        not_after: Boottime,
    ) -> Result<Written, Refusal> {
        Ok(self.shard(key)?.writes.submit(Job { steps, not_after }).await?)
    }

    /// Takes away an inverse row that pins nothing any more, as far as that is possible: what is left
    /// is an orphan, harmless, and removed by the sweeper.
    async fn unpin(&self, row: InverseRow) -> bool {
        let key = row.canonical.clone();
        let not_after = Boottime::now().plus(STEP_LIMIT);
        let done = self.write(&key, vec![WriteStep::Unpin(row)], not_after).await;
        if let Err(refusal) = &done {
            tracing::debug!(%refusal, "an inverse row is left to the sweeper");
        }
        done.is_ok()
    }

    /// [`unpin`](Self::unpin), not waited for longer than a healthy shard needs: a write that is made
    /// must not fail, or hang, because the shard of what was before is sick (P8).
    async fn unpin_meanwhile(&self, row: InverseRow) {
        let admin = self.clone();
        let done = self.cluster.see_through(async move { admin.unpin(row).await });
        let _ = tokio::time::timeout(CLEAN_UP, done).await;
    }

    /// Carries a write out to its end, also if nobody waits for it any more.
    pub fn see_through<T: Send + 'static>(
        &self,
        write: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.cluster.see_through(write)
    }

    /// The token of a state of the shard of `key`.
    fn token(&self, key: &Key, at: Position) -> Result<Token, Refusal> {
        Ok(Token::new(self.cluster.id, self.shard(key)?.id, at))
    }
}

fn project(project_id: u64) -> Result<Project, Refusal> {
    Project::new(project_id).ok_or(Refusal::Project)
}

fn id(subject: Subject, bytes: Bytes) -> Result<Id, Refusal> {
    match Id::new(bytes) {
        Ok(id) => Ok(id.detached()),
        Err(fault) => Err(Refusal::Id(subject, fault)),
    }
}

fn unavailable(error: crate::store::StoreError) -> Refusal {
    tracing::warn!(%error, "an admin read failed");
    Refusal::Unavailable
}

impl From<ReadFault> for Refusal {
    fn from(fault: ReadFault) -> Self {
        match fault {
            ReadFault::Overloaded => Self::Overloaded,
            ReadFault::Unavailable => Self::Unavailable,
        }
    }
}

impl From<WriteFault> for Refusal {
    fn from(fault: WriteFault) -> Self {
        match fault {
            WriteFault::Overloaded => Self::Overloaded,
            // It waited too long in the queue; a deadline that passed is answered by whoever set it.
            WriteFault::TooLate => Self::Overloaded,
            WriteFault::NotWritten => Self::Unavailable,
            WriteFault::Unknown => Self::Unknown,
        }
    }
}

/// When a write that arrived now may begin its last step.
fn last_start(deadline: Boottime) -> Boottime {
    deadline.min(Boottime::now().plus(STEP_LIMIT))
}

/// Tries again, after a pause that grows and differs, what another write was in the way of.
async fn retrying<T, F>(deadline: Boottime, mut attempt: impl FnMut() -> F) -> Result<T, Refusal>
where
    F: Future<Output = Result<T, Refusal>>,
{
    for tried in 0..RETRIES {
        if Boottime::now() >= deadline {
            return Err(Refusal::DeadlineExceeded);
        }
        match attempt().await {
            Err(Refusal::RetryLater) => {}
            done => return done,
        }
        // Two writes that met once must not meet again in step.
        let pause = Duration::from_millis(rand::random_range(5..=20) << tried);
        if Boottime::now().plus(pause) >= deadline {
            return Err(Refusal::RetryLater);
        }
        tokio::time::sleep(pause).await;
    }
    attempt().await
}
