//! Repairs what can be repaired safely: it removes orphans, and pins unpinned canonical ids.
//!
//! No repair is a guess. A row that somebody changed by hand looks like one that lacks its inverse
//! row. So an inverse row is restored only if the change log confirms the forward row. Where the
//! log has no line about it, a person may vouch for it.

use super::problem::{Findings, Problem};
use super::shards::ShardSessions;
use crate::store::{Role, Session, Store, StoreError};
use aka_core::domain::{InverseRow, Key};
use aka_core::write::{ChangeSet, Wanted};

/// What a check repairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// Nothing.
    Nothing,
    /// What is safe to repair.
    Safe,
    /// Also inverse rows of aliases that the change log does not confirm, because somebody vouches
    /// for them.
    TrustRows,
}

/// Removes orphans, and gives an alias that is not pinned its inverse row, if the change log
/// confirms the alias. All other problems need a person, who must find their cause first.
pub(super) async fn repair(
    shards: &mut ShardSessions,
    stores: &[Box<dyn Store>],
    what: Repair,
    report: &mut Findings,
) -> Result<(), StoreError> {
    for problem in &report.problems {
        let (row, remove) = match problem {
            Problem::Orphan { row } => (row.clone(), true),
            Problem::Unpinned { alias, row, confirmed }
                if *confirmed || what == Repair::TrustRows =>
            {
                let canonical = alias.sibling(row.canonical.clone());
                let (alias, stamp) = (alias.id().clone(), row.stamp);
                (InverseRow { canonical, alias, stamp, created: row.updated }, false)
            }
            _ => continue,
        };
        let store = &stores[shards.owner(row.canonical.slot())];
        let mut session = store.connect_to_primary(Role::Write).await?;
        let mended = mend(session.as_mut(), row, remove).await;
        session.close().await;
        if mended? {
            report.repaired += 1;
        }
    }
    Ok(())
}

async fn mend(
    session: &mut dyn Session,
    row: InverseRow,
    remove: bool,
) -> Result<bool, StoreError> {
    let clock = session.begin().await?;
    let canonical: Key = row.canonical.clone();
    let wanted = Wanted { keys: vec![canonical.clone()], ..Wanted::default() };
    // The clock row is locked now. If the id has become an alias, a pin would break P7.
    let aliased = session.read_set(&wanted).await?.forward.contains_key(&canonical);
    if aliased && !remove {
        session.rollback().await?;
        return Ok(false);
    }
    let mut changes = ChangeSet { at: clock.at, ..ChangeSet::default() };
    if remove { &mut changes.delete_inverse } else { &mut changes.insert_inverse }.push(row);
    session.write(&changes, &[]).await?;
    session.commit().await?;
    Ok(true)
}
