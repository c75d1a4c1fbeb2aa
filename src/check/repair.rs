//! Mending what can be mended safely: an orphan too many, a pin too few.

use super::Shards;
use super::problem::{Problem, Report};
use crate::store::{Role, Session, Store, StoreError};
use aka_core::domain::{InverseRow, Key};
use aka_core::write::{ChangeSet, Wanted};

/// Orphans are removed; an alias that is not pinned gets its inverse row. All else needs somebody who
/// knows how it came to be.
pub(super) async fn repair(
    shards: &mut Shards,
    stores: &[Box<dyn Store>],
    report: &mut Report,
) -> Result<(), StoreError> {
    for problem in &report.problems {
        let (row, remove) = match problem {
            Problem::Orphan { row } => (row.clone(), true),
            Problem::Unpinned { alias, row } => {
                let canonical = alias.sibling(row.canonical.clone());
                let (alias, stamp) = (alias.id().clone(), row.stamp);
                (InverseRow { canonical, alias, stamp, created: row.updated }, false)
            }
            _ => continue,
        };
        let store = &stores[shards.owner(row.canonical.slot())];
        let mut session = store.connect(Role::Write).await?;
        if mend(session.as_mut(), row, remove).await? {
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
    // Under the clock: a pin on an id that is an alias by now would make matters worse.
    let aliased = session.read_set(&wanted).await?.forward.contains_key(&canonical);
    if aliased && !remove {
        session.rollback().await?;
        return Ok(false);
    }
    let mut changes = ChangeSet { at: clock.at, ..ChangeSet::default() };
    if remove { &mut changes.delete_inverse } else { &mut changes.insert_inverse }.push(row);
    session.write(&changes).await?;
    session.commit().await?;
    Ok(true)
}
