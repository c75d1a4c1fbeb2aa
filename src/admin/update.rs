//! Pointing an alias at another canonical id.

use super::create::PinOrBoth;
use super::follow::Start;
use super::{Admin, Answer, Refusal, last_start, retrying};
use crate::shard::Written;
use aka_core::clock::Boottime;
use aka_core::domain::{InverseRow, Key, Micros, Stamp};
use aka_core::write::{Effect, StepRefusal, WriteStep};
use bytes::Bytes;

impl Admin {
    /// Points `alias_id` at `canonical_id`, or at whom that is an alias of, if the alias still has
    /// the expected version.
    pub async fn update(
        &self,
        project_id: u64,
        alias_id: Bytes,
        canonical_id: Bytes,
        expected_version: u64,
        deadline: Boottime,
    ) -> Result<Answer, Refusal> {
        let (alias, canonical) = self.pair(project_id, alias_id, canonical_id)?;
        if expected_version == 0 {
            return Err(Refusal::VersionRequired);
        }
        retrying(deadline, || async {
            let start = self.start(&alias, canonical.clone()).await?;
            let Some(row) = start.row.clone() else {
                self.shown(&alias, start.at, false);
                return Err(Refusal::NotFound);
            };
            if row.canonical == *start.canonical.id() {
                return self.unchanged(&alias, row, start.at);
            }
            if row.version != expected_version {
                self.shown(&alias, start.at, true);
                return Err(Refusal::VersionMismatch { current: row.version });
            }
            self.update_once(&alias, start, expected_version, deadline).await
        })
        .await
    }

    async fn update_once(
        &self,
        alias: &Key,
        start: Start,
        expected_version: u64,
        deadline: Boottime,
    ) -> Result<Answer, Refusal> {
        let (stamp, not_after) = (Stamp::random(), last_start(deadline));
        let relink = |canonical: &Key| WriteStep::Repoint {
            alias: alias.clone(),
            canonical: canonical.id().clone(),
            stamp,
            expected_version,
        };
        let pinned = self.pin(alias, start.canonical, stamp, not_after, relink).await?;
        let together = matches!(pinned, PinOrBoth::Both(..));
        let (canonical, written) = match pinned {
            // One transaction: where the second step was refused, the first was not made either.
            PinOrBoth::Both(canonical, written) => (canonical, Ok(written)),
            PinOrBoth::Pin(canonical) => {
                let written = self.write(alias, vec![relink(&canonical)], not_after).await;
                (canonical, written)
            }
        };
        let own_pin =
            InverseRow { canonical, alias: alias.id().clone(), stamp, created: Micros(0) };
        let Written { effects, at } =
            self.unpin_unless_written(written, (!together).then_some(own_pin)).await?;
        match effects {
            Ok(effects) => {
                self.unpin_stale(&effects).await;
                self.linked(alias, effects, at)
            }
            Err(StepRefusal::Unchanged(row)) => self.unchanged(alias, row, at),
            Err(StepRefusal::Stale(row)) => {
                self.shown(alias, at, true);
                Err(Refusal::VersionMismatch { current: row.version })
            }
            Err(StepRefusal::NotFound) => {
                self.shown(alias, at, false);
                Err(Refusal::NotFound)
            }
            Err(_) => Err(Refusal::RetryLater),
        }
    }

    /// Removes the inverse row of what the alias was before, where that is on another shard.
    pub(super) async fn unpin_stale(&self, effects: &[Effect]) {
        for effect in effects {
            if let Effect::Stored { stale_pin: Some(pin), .. }
            | Effect::Deleted { stale_pin: Some(pin) } = effect
            {
                self.unpin_meanwhile(pin.clone()).await;
            }
        }
    }
}
