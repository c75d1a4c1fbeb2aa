//! The reads before a write: the alias itself, and the end of the canonical id.

use super::handle::Admin;
use super::refusal::Refusal;
use super::request::AliasPair;
use aka_core::domain::{ForwardRow, Key, Position};

/// How many times a canonical id that is an alias is followed. One hop is enough, because an alias
/// never points at an alias. More hops are needed only while other writes move it.
pub(super) const FOLLOWS: u32 = 4;

/// The state that a write starts from.
pub(super) struct Precheck {
    /// The forward row of the alias id, if it is an alias.
    pub row: Option<ForwardRow>,
    /// The position that the row was read at.
    pub at: Position,
    /// The canonical id at the end.
    pub canonical: Key,
}

impl Admin {
    /// Reads the alias, and follows the canonical id to its end.
    ///
    /// # Errors
    /// [`Refusal::SelfAlias`] if the end is the alias itself, [`Refusal::RetryLater`] if the end
    /// keeps moving.
    pub(super) async fn precheck(&self, pair: &AliasPair) -> Result<Precheck, Refusal> {
        let AliasPair { alias, canonical } = pair;
        let (row, at, mut next) = self.read_both(alias, canonical).await?;
        let mut canonical = canonical.clone();
        for _ in 0..=FOLLOWS {
            let Some(row_of_canonical) = next else {
                return Ok(Precheck { row, at, canonical });
            };
            canonical = alias.sibling(row_of_canonical.canonical);
            if canonical == *alias {
                return Err(Refusal::SelfAlias);
            }
            next = self.read(&canonical).await?.0;
        }
        Err(Refusal::RetryLater)
    }

    /// Both forward rows, by one query if one shard has both ids.
    async fn read_both(
        &self,
        alias: &Key,
        canonical: &Key,
    ) -> Result<(Option<ForwardRow>, Position, Option<ForwardRow>), Refusal> {
        let shard = self.shard(alias)?;
        if shard.id != self.shard(canonical)?.id {
            let ((row, at), (next, _)) =
                futures::future::try_join(self.read(alias), self.read(canonical)).await?;
            return Ok((row, at, next));
        }
        let loaded = shard.load(vec![alias.clone(), canonical.clone()]).await?;
        let row = |key| loaded.rows.get(key).cloned();
        Ok((row(alias), loaded.at, row(canonical)))
    }
}
