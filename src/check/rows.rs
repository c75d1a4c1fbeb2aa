//! Checks forward rows and inverse rows: that they are in the right place, and that each has its
//! other half.

use super::problem::{Findings, Problem};
use super::shards::ShardSessions;
use crate::store::{StoreError, Stored};
use aka_core::domain::{ForwardRow, InverseRow, Key};
use aka_core::write::{ORPHAN_AGE, STEP_LIMIT};
use std::collections::HashSet;

/// Rows that one query reads.
const PAGE: u32 = 2_000;

/// Checks that every forward row is in the right place and pinned, and that its canonical id is no
/// alias.
pub(super) async fn check_forward(
    shards: &mut ShardSessions,
    shard: usize,
    report: &mut Findings,
) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let page = shards.session(shard).scan_forward(after.as_ref(), PAGE).await?;
        report.aliases += page.len() as u64;
        for stored in &page {
            check_place(shards, shard, "alias", stored, report);
        }
        let rows: Vec<_> = page.iter().map(|s| (s.key.clone(), s.row.clone())).collect();
        check_versions(shards, shard, &rows, report).await?;
        let suspects = suspects(shards, rows).await?;
        // A write may have been under way. Only rows that have not changed are looked at again.
        let keys: Vec<_> = suspects.iter().map(|(key, ..)| key.clone()).collect();
        let now = shards.forward(keys).await?;
        let again = suspects.into_iter().filter(|(key, row, _)| now.get(key) == Some(row));
        let again = again.map(|(key, row, _)| (key, row)).collect();
        for (alias, row, chain) in self::suspects(shards, again).await? {
            report.problems.push(match chain {
                true => Problem::Chain { alias, row },
                false => Problem::Unpinned { alias, row, confirmed: false },
            });
        }
        if page.len() < PAGE as usize {
            return Ok(());
        }
        after = page.into_iter().last();
    }
}

/// The forward rows whose canonical id is an alias (true), or is not pinned with their stamp
/// (false).
async fn suspects(
    shards: &mut ShardSessions,
    rows: Vec<(Key, ForwardRow)>,
) -> Result<Vec<(Key, ForwardRow, bool)>, StoreError> {
    let canonical = |(key, row): &(Key, ForwardRow)| key.sibling(row.canonical.clone());
    let aliased = shards.forward(rows.iter().map(canonical)).await?;
    let pins: HashSet<_> = shards
        .pins(rows.iter().map(canonical))
        .await?
        .into_iter()
        .map(|pin| (pin.canonical, pin.alias, pin.stamp))
        .collect();
    Ok(rows
        .into_iter()
        .filter_map(|(key, row)| {
            let canonical = key.sibling(row.canonical.clone());
            let chain = aliased.contains_key(&canonical);
            let pinned = pins.contains(&(canonical, key.id().clone(), row.stamp));
            (chain || !pinned).then_some((key, row, chain))
        })
        .collect())
}

async fn check_versions(
    shards: &mut ShardSessions,
    shard: usize,
    rows: &[(Key, ForwardRow)],
    report: &mut Findings,
) -> Result<(), StoreError> {
    // The clock is read after the rows, because it only rises.
    let clock = shards.session(shard).load(&[]).await?.at.seq;
    for (key, row) in rows.iter().filter(|(_, row)| row.version > clock) {
        let (key, version) = (key.clone(), row.version);
        report.problems.push(Problem::VersionAboveClock { shard, key, version, clock });
    }
    Ok(())
}

/// An inverse row that lacks its forward row.
pub(super) struct Unmatched {
    pub row: InverseRow,
    /// Whether its write is surely over.
    pub old: bool,
}

/// Checks that every inverse row is in the right place. Returns those that lack their forward row.
pub(super) async fn check_inverse(
    shards: &mut ShardSessions,
    shard: usize,
    report: &mut Findings,
) -> Result<Vec<Unmatched>, StoreError> {
    let (mut after, mut unmatched) = (None, Vec::new());
    loop {
        let (now, page) = shards.session(shard).scan_inverse(after.as_ref(), PAGE).await?;
        report.inverse_rows += page.len() as u64;
        for stored in &page {
            check_place(shards, shard, "canonical", stored, report);
        }
        let alias = |row: &InverseRow| row.canonical.sibling(row.alias.clone());
        let forward = shards.forward(page.iter().map(|stored| alias(&stored.row))).await?;
        for Stored { row, .. } in &page {
            if forward.get(&alias(row)).is_some_and(|forward| row.belongs_to(forward)) {
                continue;
            }
            let old = now.since(row.created) >= ORPHAN_AGE;
            unmatched.push(Unmatched { row: row.clone(), old });
        }
        if page.len() < PAGE as usize {
            return Ok(unmatched);
        }
        after = page.into_iter().last();
    }
}

/// Looks again after a while, and keeps the inverse rows that are still there, because a delete
/// removes the forward row first and the inverse row later.
pub(super) async fn confirm(
    shards: &mut ShardSessions,
    unmatched: &mut Vec<Unmatched>,
) -> Result<(), StoreError> {
    if !unmatched.iter().any(|unmatched| unmatched.old) {
        return Ok(());
    }
    tokio::time::sleep(STEP_LIMIT).await;
    let canonicals = unmatched.iter().map(|unmatched| unmatched.row.canonical.clone());
    let pins = shards.pins(canonicals).await?;
    let there: HashSet<_> =
        pins.into_iter().map(|pin| (pin.canonical, pin.alias, pin.stamp)).collect();
    unmatched.retain(|Unmatched { row, old }| {
        !old || there.contains(&(row.canonical.clone(), row.alias.clone(), row.stamp))
    });
    Ok(())
}

fn check_place<R>(
    shards: &ShardSessions,
    shard: usize,
    table: &'static str,
    stored: &Stored<R>,
    report: &mut Findings,
) {
    let (key, filed) = (stored.key.clone(), stored.filed_slot);
    if filed != key.slot().get() {
        report.problems.push(Problem::WrongSlot { shard, table, key, filed });
    } else if shards.owner(key.slot()) != shard {
        report.problems.push(Problem::WrongShard { shard, table, key });
    }
}
