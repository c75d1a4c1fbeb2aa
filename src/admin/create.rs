//! Creating an alias.

use super::handle::{Admin, AliasView, LastStart, WriteAnswer};
use super::pins::Capacity;
use super::precheck::Precheck;
use super::refusal::Refusal;
use super::request::{AliasPair, Creation, NewAlias};
use super::retry::retry;
use crate::shard::Written;
use aka_core::clock::Boottime;
use aka_core::domain::{ForwardRow, Id, Key, Micros, Position, Stamp};
use aka_core::write::{StepRefusal, WriteStep};

impl Admin {
    /// Makes `alias_id` an alias of `canonical_id`, or of the id that `canonical_id` is an alias
    /// of.
    ///
    /// # Errors
    /// As `docs/design.md`, section 2, lists them.
    pub async fn create(&self, new: NewAlias, deadline: Boottime) -> Result<WriteAnswer, Refusal> {
        let new = Creation::parse(&self.rules, new)?;
        self.take_writes(new.pair.alias.project(), 1)?;
        if let Some(answer) = self.create_optimistically(&new, deadline).await? {
            return Ok(answer);
        }
        if Boottime::now() >= deadline {
            return Err(Refusal::DeadlineExceeded);
        }
        let precheck = self.precheck(&new.pair).await;
        self.create_checked(&new, precheck, deadline).await
    }

    /// Whether one shard has both ids.
    pub(super) fn is_together(&self, pair: &AliasPair) -> bool {
        let shard = |key| self.shard(key).ok().map(|shard| shard.id);
        shard(&pair.alias).is_some_and(|id| shard(&pair.canonical) == Some(id))
    }

    /// Creates in one transaction, without a read before it, if one shard has both ids. Most
    /// aliases are new, and the transaction sees all that a read would see.
    ///
    /// `None`: nothing was written, and a [`precheck`](Self::precheck) must find out more.
    pub(super) async fn create_optimistically(
        &self,
        new: &Creation,
        deadline: Boottime,
    ) -> Result<Option<WriteAnswer>, Refusal> {
        let AliasPair { alias, canonical } = &new.pair;
        if new.dry_run || !self.is_together(&new.pair) {
            return Ok(None);
        }
        let stamp = Stamp::random();
        let pin = self.pin_step(canonical, alias, stamp, None);
        let steps = vec![pin, link_step(alias, canonical.id(), stamp)];
        let Written { effects, at } = self.write(alias, steps, LastStart::before(deadline)).await?;
        match effects {
            Ok(effects) => self.written(alias, effects, at).map(Some),
            // This refusal is final, because the pin step succeeded: the canonical id is not an
            // alias.
            Err(StepRefusal::Unchanged(row) | StepRefusal::Taken(row)) => {
                self.unchanged_or_taken(alias, row, canonical.id(), at).map(Some)
            }
            Err(_) => Ok(None),
        }
    }

    /// Creates after a precheck. A retry makes a new precheck.
    pub(super) async fn create_checked(
        &self,
        new: &Creation,
        precheck: Result<Precheck, Refusal>,
        deadline: Boottime,
    ) -> Result<WriteAnswer, Refusal> {
        let mut first = Some(precheck);
        retry(deadline, || {
            let first = first.take();
            async move {
                let alias = &new.pair.alias;
                let Precheck { row, at, canonical } = match first {
                    Some(precheck) => precheck?,
                    None => self.precheck(&new.pair).await?,
                };
                match row {
                    Some(row) => self.unchanged_or_taken(alias, row, canonical.id(), at),
                    None if new.dry_run => self.dry_run(alias, &canonical).await,
                    None => self.create_once(alias, canonical, deadline).await,
                }
            }
        })
        .await
        .map(|answer| if new.dry_run { WriteAnswer { token: None, ..answer } } else { answer })
    }

    /// The answer that the write would get, found by reads alone.
    async fn dry_run(&self, alias: &Key, canonical: &Key) -> Result<WriteAnswer, Refusal> {
        match self.capacity(canonical, alias.id()).await? {
            Capacity::Free(_) => {}
            Capacity::Full => return Err(self.too_many()),
            Capacity::Unsure => return Err(Refusal::RetryLater),
        }
        self.refuse_if_pinned(alias).await?;
        let row = ForwardRow {
            canonical: canonical.id().clone(),
            version: 0,
            stamp: Stamp(0),
            created: Micros(0),
            updated: Micros(0),
        };
        let view = AliasView { alias: alias.clone(), row };
        Ok(WriteAnswer { view, changed: true, token: None })
    }

    async fn create_once(
        &self,
        alias: &Key,
        canonical: Key,
        deadline: Boottime,
    ) -> Result<WriteAnswer, Refusal> {
        let link = |canonical: &Id, stamp| link_step(alias, canonical, stamp);
        let (canonical, written) = self.pin_and_link(alias, canonical, deadline, link).await?;
        match written.effects {
            Ok(effects) => self.written(alias, effects, written.at),
            Err(StepRefusal::Unchanged(row) | StepRefusal::Taken(row)) => {
                self.unchanged_or_taken(alias, row, canonical.id(), written.at)
            }
            Err(StepRefusal::Pinned) => {
                self.refuse_if_pinned(alias).await?;
                // The id was pinned by an orphan, or is no longer pinned.
                Err(Refusal::RetryLater)
            }
            Err(_) => Err(Refusal::RetryLater),
        }
    }

    /// The answer if the alias exists: `created = false` if it has the wanted canonical id, or else
    /// `ALIAS_TAKEN`.
    fn unchanged_or_taken(
        &self,
        alias: &Key,
        row: ForwardRow,
        wanted: &Id,
        at: Position,
    ) -> Result<WriteAnswer, Refusal> {
        if row.canonical == *wanted {
            return self.unchanged(alias, row, at);
        }
        self.note_shown(alias, at, true);
        Err(Refusal::AliasTaken { canonical: row.canonical, version: row.version })
    }
}

fn link_step(alias: &Key, canonical: &Id, stamp: Stamp) -> WriteStep {
    WriteStep::Link { alias: alias.clone(), canonical: canonical.clone(), stamp }
}
