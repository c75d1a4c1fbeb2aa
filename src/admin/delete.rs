//! Deleting an alias.

use super::{Admin, Refusal, Subject, id, last_start, project};
use crate::shard::Written;
use aka_core::clock::Boottime;
use aka_core::domain::{Key, Token};
use aka_core::write::{StepRefusal, WriteStep};
use bytes::Bytes;

impl Admin {
    /// Makes `alias_id` stand for nobody, if it has the expected version (0: any).
    pub async fn delete(
        &self,
        project_id: u64,
        alias_id: Bytes,
        expected_version: u64,
        deadline: Boottime,
    ) -> Result<Token, Refusal> {
        let alias = Key::new(project(project_id)?, id(Subject::Alias, alias_id)?);
        let unlink = WriteStep::Delete { alias: alias.clone(), expected_version };
        let written = self.write(&alias, vec![unlink], last_start(deadline)).await?;
        let Written { effects, at } = written;
        match effects {
            Ok(effects) => {
                self.unpin_stale(&effects).await;
                self.token(&alias, at)
            }
            Err(refused) => {
                self.shown(&alias, at, refused != StepRefusal::NotFound);
                Err(match refused {
                    StepRefusal::Stale(row) => Refusal::VersionMismatch { current: row.version },
                    _ => Refusal::NotFound,
                })
            }
        }
    }
}
