//! Tells rows that were changed by hand from those that a write left when it died.

use super::history::{History, Verdict};
use super::problem::{Findings, Problem, Witness};
use super::rows::Unmatched;
use super::shards::ShardSessions;
use crate::store::StoreError;
use aka_core::domain::{ForwardRow, InverseRow, Key};
use std::collections::{HashMap, HashSet};

/// The aliases that the change log is asked about: those of forward rows and of inverse rows that
/// lack their other half, and those of chains.
pub(super) fn suspects(report: &Findings, unmatched: &[Unmatched]) -> HashSet<Key> {
    let forward = report.problems.iter().filter_map(|problem| match problem {
        Problem::Chain { alias, .. } | Problem::Unpinned { alias, .. } => Some(alias.clone()),
        _ => None,
    });
    forward.chain(unmatched.iter().map(|unmatched| alias_of(&unmatched.row))).collect()
}

/// Adds a problem for each row that is not as its write left it, and for each orphan. A row that is
/// not as its write left it is reported as that alone, because the other problems may be repaired.
pub(super) async fn judge(
    shards: &mut ShardSessions,
    history: History,
    unmatched: Vec<Unmatched>,
    report: &mut Findings,
) -> Result<(), StoreError> {
    report.not_compared = history.not_compared();
    let (rows, verdicts) = history.compare(shards).await?;
    let mut witnesses: HashMap<Key, Witness> = HashMap::new();
    for (alias, verdict) in &verdicts {
        if let Verdict::Differs(line) = verdict {
            witnesses.insert(alias.clone(), Witness::Log(line.clone()));
        }
    }
    for Unmatched { row, .. } in &unmatched {
        let alias = alias_of(row);
        // A stamp is drawn at random for each write, and both of its rows have it.
        if rows.get(&alias).is_some_and(|forward| is_torn(row, forward)) {
            let canonical = row.canonical.id().clone();
            witnesses.entry(alias).or_insert(Witness::InverseRow(canonical));
        }
    }
    report.problems.retain_mut(|problem| match problem {
        Problem::Unpinned { alias, confirmed, .. } => {
            *confirmed = matches!(verdicts.get(alias), Some(Verdict::Confirmed));
            !witnesses.contains_key(alias)
        }
        _ => true,
    });
    for Unmatched { row, old } in unmatched {
        if witnesses.contains_key(&alias_of(&row)) {
            continue;
        }
        match old {
            true => report.problems.push(Problem::Orphan { row }),
            false => report.young_orphans += 1,
        }
    }
    let mut differing: Vec<_> = witnesses.into_iter().collect();
    differing.sort_unstable_by(|(alias, _), (other, _)| alias.cmp(other));
    report.problems.extend(differing.into_iter().map(|(alias, witness)| {
        let row = rows.get(&alias).cloned();
        Problem::RowDiffers { alias, row, witness }
    }));
    Ok(())
}

fn alias_of(row: &InverseRow) -> Key {
    row.canonical.sibling(row.alias.clone())
}

/// Whether both rows have the stamp of one write, but different canonical ids.
fn is_torn(inverse: &InverseRow, forward: &ForwardRow) -> bool {
    inverse.stamp == forward.stamp && !inverse.belongs_to(forward)
}
