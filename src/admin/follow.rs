//! Following a canonical id that is itself an alias, before anything is written.

use super::{Admin, Refusal};
use aka_core::domain::{ForwardRow, Key, Position};

/// Aliases never lead to aliases, so one hop is enough; more mean that somebody re-points them now.
pub(super) const FOLLOWS: u32 = 4;

/// Where a write of an alias starts from.
pub(super) struct Start {
    /// The forward row of the alias id, if it is an alias.
    pub row: Option<ForwardRow>,
    /// When that was so.
    pub at: Position,
    /// The canonical id at the end.
    pub canonical: Key,
}

impl Admin {
    /// Reads the alias, and follows the canonical id to its end.
    pub(super) async fn start(&self, alias: &Key, canonical: Key) -> Result<Start, Refusal> {
        let (row, at, first) = self.read_both(alias, &canonical).await?;
        let mut canonical = canonical;
        let mut next = first;
        for _ in 0..=FOLLOWS {
            let Some(row_of_canonical) = next else {
                return Ok(Start { row, at, canonical });
            };
            canonical = alias.sibling(row_of_canonical.canonical);
            if canonical == *alias {
                return Err(Refusal::SelfAlias);
            }
            next = self.read(&canonical).await?.0;
        }
        Err(Refusal::RetryLater)
    }

    /// Both forward rows, in one query where one shard has both ids.
    async fn read_both(
        &self,
        alias: &Key,
        canonical: &Key,
    ) -> Result<(Option<ForwardRow>, Position, Option<ForwardRow>), Refusal> {
        let (ours, theirs) = (self.shard(alias)?, self.shard(canonical)?);
        if ours.id != theirs.id {
            let ((row, at), (next, _)) =
                futures::future::try_join(self.read(alias), self.read(canonical)).await?;
            return Ok((row, at, next));
        }
        let loaded = ours.load(vec![alias.clone(), canonical.clone()]).await?;
        let row = |key| loaded.rows.get(key).cloned();
        Ok((row(alias), loaded.at, row(canonical)))
    }
}
