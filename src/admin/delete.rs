//! Deleting an alias.

use super::handle::{Admin, LastStart};
use super::refusal::{Refusal, WhichId};
use super::request::key;
use crate::shard::Written;
use aka_core::clock::Boottime;
use aka_core::domain::Token;
use aka_core::write::{StepRefusal, WriteStep};
use bytes::Bytes;

impl Admin {
    /// Removes an alias, if it has the expected version. 0 means any version.
    ///
    /// # Errors
    /// As `docs/design.md`, section 2, lists them.
    pub async fn delete(
        &self,
        project_id: u64,
        alias_id: Bytes,
        expected_version: u64,
        deadline: Boottime,
    ) -> Result<Token, Refusal> {
        let alias = key(project_id, WhichId::Alias, alias_id)?;
        self.take_writes(alias.project(), 1)?;
        let unlink = WriteStep::Unlink { alias: alias.clone(), expected_version };
        let Written { effects, at } =
            self.write(&alias, vec![unlink], LastStart::before(deadline)).await?;
        match effects {
            Ok(effects) => {
                self.unpin_old(&effects).await;
                self.token(&alias, at)
            }
            Err(StepRefusal::VersionMismatch(row)) => {
                self.note_shown(&alias, at, true);
                Err(Refusal::VersionMismatch { current: row.version })
            }
            Err(refused) => {
                self.note_shown(&alias, at, refused != StepRefusal::NotFound);
                Err(Refusal::NotFound)
            }
        }
    }
}
