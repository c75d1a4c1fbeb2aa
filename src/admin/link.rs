//! The two write steps of a create or an update: pin the canonical id, then point the alias at it.

use super::handle::{Admin, LastStart};
use super::pins::Capacity;
use super::precheck::FOLLOWS;
use super::refusal::Refusal;
use crate::shard::Written;
use aka_core::clock::Boottime;
use aka_core::domain::{Id, InverseRow, Key, Micros, Stamp};
use aka_core::write::{StepRefusal, WriteStep};

impl Admin {
    /// Pins `canonical`, or the end of its chain, and then does the second step, which `link`
    /// builds. Returns the canonical id at the end, and the result of the second step.
    pub(super) async fn pin_and_link(
        &self,
        alias: &Key,
        canonical: Key,
        deadline: Boottime,
        link: impl Fn(&Id, Stamp) -> WriteStep,
    ) -> Result<(Key, Written), Refusal> {
        let (stamp, last_start) = (Stamp::random(), LastStart::before(deadline));
        let link = |canonical: &Key| link(canonical.id(), stamp);
        let (canonical, both) =
            self.pin(alias, canonical, stamp, last_start.clone(), &link).await?;
        if let Some(written) = both {
            return Ok((canonical, written));
        }
        let written = self.write(alias, vec![link(&canonical)], last_start).await;
        let surely_not_linked = match &written {
            Ok(written) => written.effects.is_err(),
            Err(refusal) => *refusal != Refusal::Unknown,
        };
        if surely_not_linked {
            // After an unknown outcome the pin must stay (section 3, the stamp rule).
            let (canonical, alias) = (canonical.clone(), alias.id().clone());
            let own_pin = InverseRow { canonical, alias, stamp, created: Micros(0) };
            self.unpin_in_background(own_pin).await;
        }
        Ok((canonical, written?))
    }

    /// Pins `canonical`, or the canonical id that it is an alias of. If one shard has both ids, the
    /// second step is part of the same transaction, and the outcome of both is returned. If the
    /// second step is refused there, the pin is not made either.
    async fn pin(
        &self,
        alias: &Key,
        mut canonical: Key,
        stamp: Stamp,
        last_start: LastStart,
        link: impl Fn(&Key) -> WriteStep,
    ) -> Result<(Key, Option<Written>), Refusal> {
        let mut orphans = None;
        for _ in 0..=FOLLOWS {
            let together = self.shard(alias)?.id == self.shard(&canonical)?.id;
            let mut steps = vec![self.pin_step(&canonical, alias, stamp, orphans.take())];
            if together {
                steps.push(link(&canonical));
            }
            let written = self.write(&canonical, steps, last_start.clone()).await?;
            match written.effects {
                Err(StepRefusal::IsAliasOf(end)) => {
                    canonical = alias.sibling(end);
                    if canonical == *alias {
                        return Err(Refusal::SelfAlias);
                    }
                }
                Err(StepRefusal::Full) => match self.capacity(&canonical, alias.id()).await? {
                    Capacity::Free(found) => orphans = Some(found),
                    Capacity::Full => return Err(self.too_many()),
                    Capacity::Unsure => return Err(Refusal::RetryLater),
                },
                _ => return Ok((canonical, together.then_some(written))),
            }
        }
        Err(Refusal::RetryLater)
    }

    pub(super) fn pin_step(
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

    pub(super) fn too_many(&self) -> Refusal {
        Refusal::TooManyAliases { limit: self.rules.max_aliases }
    }
}
