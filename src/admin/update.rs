//! Pointing an alias at another canonical id.

use super::handle::{Admin, WriteAnswer};
use super::precheck::Precheck;
use super::refusal::Refusal;
use super::request::AliasPair;
use super::retry::retry;
use aka_core::clock::Boottime;
use aka_core::domain::{Id, Key};
use aka_core::write::{StepRefusal, WriteStep};
use bytes::Bytes;

impl Admin {
    /// Points `alias_id` at `canonical_id`, or at the id that `canonical_id` is an alias of, if the
    /// alias has the expected version.
    ///
    /// # Errors
    /// As `docs/design.md`, section 2, lists them.
    pub async fn update(
        &self,
        project_id: u64,
        alias_id: Bytes,
        canonical_id: Bytes,
        expected_version: u64,
        deadline: Boottime,
    ) -> Result<WriteAnswer, Refusal> {
        let pair = AliasPair::parse(&self.rules, project_id, alias_id, canonical_id)?;
        if expected_version == 0 {
            return Err(Refusal::VersionRequired);
        }
        let alias = &pair.alias;
        self.take_writes(alias.project(), 1)?;
        retry(deadline, || async {
            let Precheck { row, at, canonical } = self.precheck(&pair).await?;
            let Some(row) = row else {
                self.note_shown(alias, at, false);
                return Err(Refusal::NotFound);
            };
            if row.canonical == *canonical.id() {
                return self.unchanged(alias, row, at);
            }
            if row.version != expected_version {
                self.note_shown(alias, at, true);
                return Err(Refusal::VersionMismatch { current: row.version });
            }
            self.update_once(alias, canonical, expected_version, deadline).await
        })
        .await
    }

    async fn update_once(
        &self,
        alias: &Key,
        canonical: Key,
        expected_version: u64,
        deadline: Boottime,
    ) -> Result<WriteAnswer, Refusal> {
        let relink = |canonical: &Id, stamp| {
            let (alias, canonical) = (alias.clone(), canonical.clone());
            WriteStep::Relink { alias, canonical, stamp, expected_version }
        };
        let (_, written) = self.pin_and_link(alias, canonical, deadline, relink).await?;
        let at = written.at;
        match written.effects {
            Ok(effects) => {
                self.unpin_old(&effects).await;
                self.written(alias, effects, at)
            }
            Err(StepRefusal::Unchanged(row)) => self.unchanged(alias, row, at),
            Err(StepRefusal::VersionMismatch(row)) => {
                self.note_shown(alias, at, true);
                Err(Refusal::VersionMismatch { current: row.version })
            }
            Err(StepRefusal::NotFound) => {
                self.note_shown(alias, at, false);
                Err(Refusal::NotFound)
            }
            Err(_) => Err(Refusal::RetryLater),
        }
    }
}
