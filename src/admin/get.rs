//! Showing one alias.

use super::handle::{Admin, AliasView};
use super::refusal::{Refusal, WhichId};
use super::request::key;
use bytes::Bytes;

impl Admin {
    /// Shows an alias, read from the primary.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] if the id is not an alias.
    pub async fn get(&self, project_id: u64, alias_id: Bytes) -> Result<AliasView, Refusal> {
        let alias = key(project_id, WhichId::Alias, alias_id)?;
        let (row, at) = self.read(&alias).await?;
        self.note_shown(&alias, at, row.is_some());
        Ok(AliasView { row: row.ok_or(Refusal::NotFound)?, alias })
    }
}
