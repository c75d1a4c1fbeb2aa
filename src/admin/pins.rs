//! Inverse rows: which of them belong to an alias, and which are orphans.

use super::handle::Admin;
use super::refusal::{Refusal, unavailable};
use aka_core::domain::{ForwardRow, Id, InverseRow, Key, Micros, Position, Stamp};
use aka_core::write::STEP_LIMIT;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

/// Inverse rows that one query reads.
const PAGE: u32 = 1_000;

/// Forward rows that one query reads.
const KEYS: usize = 128;

/// At this age the write of an inverse row has ended, so without a forward row it does not count
/// for the limit. A write that has not begun its second step within [`STEP_LIMIT`] never begins it;
/// the rest is time for the transaction. (The sweeper removes the row much later: `ORPHAN_AGE`.)
const WRITE_HAS_ENDED: Duration = Duration::from_secs(2 * STEP_LIMIT.as_secs());

/// Whether a canonical id may have one more alias.
pub(super) enum Capacity {
    /// It may, if these are not counted: the inverse rows of writes that ended without a forward
    /// row.
    Free(Vec<(Id, Stamp)>),
    Full,
    /// It depends on writes that are still under way.
    Unsure,
}

/// Forward rows by alias id. Each has the position that it was read at.
#[derive(Default)]
pub(super) struct ForwardRows(HashMap<Id, (ForwardRow, Position)>);

impl ForwardRows {
    /// The forward row that bears the stamp of the inverse row.
    pub fn of(&self, inverse: &InverseRow) -> Option<&(ForwardRow, Position)> {
        self.0.get(&inverse.alias).filter(|(row, _)| inverse.belongs_to(row))
    }

    /// Whether the forward row bears the stamp of the inverse row, whatever its canonical id is.
    pub fn bear_stamp_of(&self, inverse: &InverseRow) -> bool {
        self.0.get(&inverse.alias).is_some_and(|(row, _)| row.stamp == inverse.stamp)
    }

    /// Whether the inverse row belongs to an alias.
    pub fn pins(&self, inverse: &InverseRow) -> bool {
        self.of(inverse).is_some()
    }
}

impl Admin {
    /// Counts the aliases of `canonical` other than `alias`.
    pub(super) async fn capacity(&self, canonical: &Key, alias: &Id) -> Result<Capacity, Refusal> {
        let (now, rows) = self.all_pins(canonical).await?;
        let forward = self.forward_rows(&rows).await?;
        let (mut live, mut young, mut orphans) = (HashSet::new(), HashSet::new(), Vec::new());
        for row in rows.iter().filter(|row| row.alias != *alias) {
            if forward.pins(row) {
                live.insert(&row.alias);
            } else if now.since(row.created) < WRITE_HAS_ENDED {
                young.insert(&row.alias);
            } else {
                orphans.push((row.alias.clone(), row.stamp));
            }
        }
        young.retain(|id| !live.contains(id));
        let limit = self.rules.max_aliases as usize;
        Ok(match () {
            () if live.len() >= limit => Capacity::Full,
            () if live.len() + young.len() >= limit => Capacity::Unsure,
            () => Capacity::Free(orphans),
        })
    }

    /// # Errors
    /// [`Refusal::AliasIsCanonical`] if an alias pins the id. [`Refusal::RetryLater`] if only
    /// orphans or writes under way pin it.
    pub(super) async fn refuse_if_pinned(&self, id: &Key) -> Result<(), Refusal> {
        let (_, rows) = self.all_pins(id).await?;
        let forward = self.forward_rows(&rows).await?;
        if rows.iter().any(|row| forward.pins(row)) {
            return Err(Refusal::AliasIsCanonical);
        }
        if rows.is_empty() { Ok(()) } else { Err(Refusal::RetryLater) }
    }

    /// All inverse rows of an id, and the time on its shard.
    async fn all_pins(&self, canonical: &Key) -> Result<(Micros, Vec<InverseRow>), Refusal> {
        let (shard, pool) = (self.shard(canonical)?, self.pool(canonical)?);
        let now = shard.load(Vec::new()).await?.now;
        let mut rows: Vec<InverseRow> = Vec::new();
        loop {
            let after = rows.last().map(|row| (&row.alias, row.stamp));
            let page = pool.inverse_rows(canonical, after, PAGE).await.map_err(unavailable)?;
            let last = page.len() < PAGE as usize;
            rows.extend(page);
            if last {
                return Ok((now, rows));
            }
        }
    }

    /// The forward rows of the alias ids of some inverse rows, from all shards that have them. They
    /// must be read after the inverse rows, because a write makes its inverse row first.
    pub(super) async fn forward_rows(&self, rows: &[InverseRow]) -> Result<ForwardRows, Refusal> {
        let mut keys: BTreeMap<u16, Vec<Key>> = BTreeMap::new();
        for row in rows {
            let key = row.canonical.sibling(row.alias.clone());
            keys.entry(self.shard(&key)?.id.0).or_default().push(key);
        }
        let mut found = ForwardRows::default();
        for (shard, mut keys) in keys {
            keys.dedup();
            let Some(shard) = self.cluster.shards().get(usize::from(shard)) else { continue };
            // In pieces, so that other readers of the shard have their turn in between.
            for keys in keys.chunks(KEYS) {
                let loaded = shard.load(keys.to_vec()).await?;
                for key in keys {
                    let row = loaded.rows.get(key).map(|row| (row.clone(), loaded.at));
                    found.0.extend(row.map(|row| (key.id().clone(), row)));
                }
            }
        }
        Ok(found)
    }
}
