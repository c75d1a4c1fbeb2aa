//! Creating an alias.

use super::follow::{FOLLOWS, Start};
use super::pins::Room;
use super::{Admin, Answer, Refusal, Shown, last_start, retrying};
use crate::shard::Written;
use aka_core::clock::Boottime;
use aka_core::domain::{ForwardRow, Id, InverseRow, Key, Micros, Position, Stamp};
use aka_core::write::{Effect, StepRefusal, WriteStep};
use bytes::Bytes;
use parking_lot::Mutex;

/// An alias to be created.
#[derive(Clone, Debug)]
pub struct NewAlias {
    pub project_id: u64,
    pub alias_id: Bytes,
    pub canonical_id: Bytes,
    /// Only say what would happen.
    pub dry_run: bool,
}

impl Admin {
    /// Makes `alias_id` an alias of `canonical_id`, or of whom that is an alias.
    pub async fn create(&self, new: &NewAlias, deadline: Boottime) -> Result<Answer, Refusal> {
        if let Some(answer) = self.create_unseen(new, deadline).await? {
            return Ok(answer);
        }
        if Boottime::now() >= deadline {
            return Err(Refusal::DeadlineExceeded);
        }
        let start = self.prepare(new).await;
        self.create_from(new, start, deadline).await
    }

    /// Whether both ids are on one shard.
    pub(super) fn is_together(&self, new: &NewAlias) -> bool {
        let ids = self.pair_of(new).ok();
        let shards =
            ids.and_then(|(a, b)| Some((self.shard(&a).ok()?.id, self.shard(&b).ok()?.id)));
        shards.is_some_and(|(a, b)| a == b)
    }

    /// Creates in one transaction what nobody has looked at, if one shard has both ids: most aliases
    /// are new, and the transaction sees all that a look would. `None` if it is not so, or something
    /// is in the way that has to be looked at first; nothing was written then.
    pub(super) async fn create_unseen(
        &self,
        new: &NewAlias,
        deadline: Boottime,
    ) -> Result<Option<Answer>, Refusal> {
        let (alias, canonical) = self.pair_of(new)?;
        if new.dry_run || !self.is_together(new) {
            return Ok(None);
        }
        let stamp = Stamp::random();
        let pin = self.pin_of(&canonical, &alias, stamp, None);
        let link =
            WriteStep::Create { alias: alias.clone(), canonical: canonical.id().clone(), stamp };
        let written = self.write(&alias, vec![pin, link], last_start(deadline)).await?;
        let Written { effects, at } = written;
        match effects {
            Ok(effects) => self.linked(&alias, effects, at).map(Some),
            // The pin was possible, so the canonical id is nobody's alias: this is the last word.
            Err(StepRefusal::Unchanged(row) | StepRefusal::Taken(row)) => {
                self.unchanged_or_taken(&alias, row, canonical.id(), at).map(Some)
            }
            Err(_) => Ok(None),
        }
    }

    /// Reads what a create starts from.
    pub(super) async fn prepare(&self, new: &NewAlias) -> Result<Start, Refusal> {
        let (alias, canonical) = self.pair_of(new)?;
        self.start(&alias, canonical).await
    }

    fn pair_of(&self, new: &NewAlias) -> Result<(Key, Key), Refusal> {
        self.pair(new.project_id, new.alias_id.clone(), new.canonical_id.clone())
    }

    /// Creates from what [`prepare`](Self::prepare) has read; what gets in the way is read anew.
    pub(super) async fn create_from(
        &self,
        new: &NewAlias,
        start: Result<Start, Refusal>,
        deadline: Boottime,
    ) -> Result<Answer, Refusal> {
        let (alias, canonical) = self.pair_of(new)?;
        let first = Mutex::new(Some(start));
        retrying(deadline, || async {
            let prepared = first.lock().take();
            let start = match prepared {
                Some(start) => start?,
                None => self.start(&alias, canonical.clone()).await?,
            };
            if let Some(row) = start.row {
                return self.unchanged_or_taken(&alias, row, start.canonical.id(), start.at);
            }
            match new.dry_run {
                true => self.dry_run(&alias, &start.canonical).await,
                false => self.create_once(&alias, start, deadline).await,
            }
        })
        .await
        .map(|answer| if new.dry_run { Answer { token: None, ..answer } } else { answer })
    }

    /// The answer that the write would get, by reading alone.
    async fn dry_run(&self, alias: &Key, canonical: &Key) -> Result<Answer, Refusal> {
        match self.room(canonical, alias.id()).await? {
            Room::Free(_) => {}
            Room::Full => return Err(self.too_many()),
            Room::Unsure => return Err(Refusal::RetryLater),
        }
        self.refuse_if_pinned(alias).await?;
        let row = ForwardRow {
            canonical: canonical.id().clone(),
            version: 0,
            stamp: Stamp(0),
            created: Micros(0),
            updated: Micros(0),
        };
        Ok(Answer { shown: Shown { alias: alias.clone(), row }, changed: true, token: None })
    }

    async fn create_once(
        &self,
        alias: &Key,
        start: Start,
        deadline: Boottime,
    ) -> Result<Answer, Refusal> {
        let (stamp, not_after) = (Stamp::random(), last_start(deadline));
        let link = |canonical: &Key| WriteStep::Create {
            alias: alias.clone(),
            canonical: canonical.id().clone(),
            stamp,
        };
        let pinned = self.pin(alias, start.canonical, stamp, not_after, link).await?;
        let together = matches!(pinned, PinOrBoth::Both(..));
        let (canonical, written) = match pinned {
            // One transaction: where the second step was refused, the first was not made either.
            PinOrBoth::Both(canonical, written) => (canonical, Ok(written)),
            PinOrBoth::Pin(canonical) => {
                let written = self.write(alias, vec![link(&canonical)], not_after).await;
                (canonical, written)
            }
        };
        let own_pin = InverseRow {
            canonical: canonical.clone(),
            alias: alias.id().clone(),
            stamp,
            created: Micros(0),
        };
        let Written { effects, at } =
            self.unpin_unless_written(written, (!together).then_some(own_pin)).await?;
        match effects {
            Ok(effects) => self.linked(alias, effects, at),
            Err(StepRefusal::Unchanged(row) | StepRefusal::Taken(row)) => {
                self.unchanged_or_taken(alias, row, canonical.id(), at)
            }
            Err(StepRefusal::Pinned) => {
                self.refuse_if_pinned(alias).await?;
                // It was an orphan's pin, or one that is gone by now.
                Err(Refusal::RetryLater)
            }
            Err(_) => Err(Refusal::RetryLater),
        }
    }

    /// `created = false` if the alias is as wanted, `ALIAS_TAKEN` if it is another.
    fn unchanged_or_taken(
        &self,
        alias: &Key,
        row: ForwardRow,
        wanted: &Id,
        at: Position,
    ) -> Result<Answer, Refusal> {
        if row.canonical == *wanted {
            return self.unchanged(alias, row, at);
        }
        self.shown(alias, at, true);
        Err(Refusal::AliasTaken { canonical: row.canonical, version: row.version })
    }

    /// The alias was as wanted already, as of `at`.
    pub(super) fn unchanged(
        &self,
        alias: &Key,
        row: ForwardRow,
        at: Position,
    ) -> Result<Answer, Refusal> {
        self.shown(alias, at, true);
        let (shown, token) = (Shown { alias: alias.clone(), row }, self.token(alias, at)?);
        Ok(Answer { shown, changed: false, token: Some(token) })
    }

    /// The alias was written. Memory has been told by whoever committed it.
    pub(super) fn linked(
        &self,
        alias: &Key,
        effects: Vec<Effect>,
        at: Position,
    ) -> Result<Answer, Refusal> {
        let row = effects.into_iter().find_map(|effect| match effect {
            Effect::Stored { row, .. } => Some(row),
            _ => None,
        });
        // A job that links answers so.
        let row = row.ok_or(Refusal::Unknown)?;
        let (shown, token) = (Shown { alias: alias.clone(), row }, self.token(alias, at)?);
        Ok(Answer { shown, changed: true, token: Some(token) })
    }
}

/// How far the first step of a write went.
pub(super) enum PinOrBoth {
    /// The canonical id is pinned; the second step is on another shard.
    Pin(Key),
    /// Both ids are on one shard: both steps were one transaction, and this came of it.
    Both(Key, Written),
}

impl Admin {
    /// The first step of a create or an update: pins the canonical id, following it as needed. Where
    /// both ids are on one shard the second step goes along.
    pub(super) async fn pin(
        &self,
        alias: &Key,
        mut canonical: Key,
        stamp: Stamp,
        not_after: Boottime,
        second: impl Fn(&Key) -> WriteStep,
    ) -> Result<PinOrBoth, Refusal> {
        let mut orphans = None;
        for _ in 0..=FOLLOWS {
            let together = self.shard(alias)?.id == self.shard(&canonical)?.id;
            let mut steps = vec![self.pin_of(&canonical, alias, stamp, orphans.take())];
            if together {
                steps.push(second(&canonical));
            }
            let written = self.write(&canonical, steps, not_after).await?;
            match written.effects {
                Err(StepRefusal::IsAliasOf(end)) => {
                    canonical = alias.sibling(end);
                    if canonical == *alias {
                        return Err(Refusal::SelfAlias);
                    }
                }
                Err(StepRefusal::Full) => match self.room(&canonical, alias.id()).await? {
                    Room::Free(found) => orphans = Some(found),
                    Room::Full => return Err(self.too_many()),
                    Room::Unsure => return Err(Refusal::RetryLater),
                },
                _ if together => return Ok(PinOrBoth::Both(canonical, written)),
                _ => return Ok(PinOrBoth::Pin(canonical)),
            }
        }
        Err(Refusal::RetryLater)
    }

    fn pin_of(
        &self,
        canonical: &Key,
        alias: &Key,
        stamp: Stamp,
        orphans: Option<Vec<(Id, Stamp)>>,
    ) -> WriteStep {
        WriteStep::Pin {
            canonical: canonical.clone(),
            alias: alias.id().clone(),
            stamp,
            limit: self.rules.max_aliases,
            orphans,
        }
    }

    /// Takes the write's own pin away again if it is definite that the second step was not made
    /// (the stamp rule). After an unknown outcome nobody cleans up.
    pub(super) async fn unpin_unless_written(
        &self,
        written: Result<Written, Refusal>,
        own_pin: Option<InverseRow>,
    ) -> Result<Written, Refusal> {
        let definite = match &written {
            Ok(written) => written.effects.is_err(),
            Err(refusal) => *refusal != Refusal::Unknown,
        };
        if let Some(own_pin) = own_pin.filter(|_| definite) {
            self.unpin_meanwhile(own_pin).await;
        }
        written
    }

    pub(super) fn too_many(&self) -> Refusal {
        Refusal::TooManyAliases { limit: self.rules.max_aliases }
    }
}
