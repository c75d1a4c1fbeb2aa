//! The invariants of the tables, checked by reading them directly.

use crate::database::{Database, slot_of};
use crate::tables::{ForwardRow, InverseRow, Tables};
use std::collections::{BTreeMap, HashSet};

/// Checks every invariant of the stored aliases. No write may be under way. `orphans_allowed`: a crash
/// or a lost answer may have left orphans.
pub async fn assert_hold(database: &Database, orphans_allowed: bool) {
    let shards = database.tables().await;
    assert_placed(database, &shards);
    assert_one_hop(&shards);
    assert_pinned(database, &shards);
    if !orphans_allowed {
        assert_no_orphans(&shards);
    }
    shards.iter().for_each(assert_log_is_whole);
}

/// Checks that every row is in the slot of its id, and on the shard of that slot.
fn assert_placed(database: &Database, shards: &[Tables]) {
    for (shard, tables) in shards.iter().enumerate() {
        let forward = tables.forward.iter().map(|row| (row.slot, row.project_id, &row.alias_id));
        let inverse =
            tables.inverse.iter().map(|row| (row.slot, row.project_id, &row.canonical_id));
        for (slot, project, id) in forward.chain(inverse) {
            let project = project.cast_unsigned();
            assert_eq!(slot, slot_of(project, id), "the slot of {id:?} in {project}");
            assert_eq!(shard, database.shard_of(project, id), "the shard of {id:?} in {project}");
        }
    }
}

/// Checks that no id is both alias and canonical. So there is no chain and no cycle.
fn assert_one_hop(shards: &[Tables]) {
    let aliases: HashSet<_> = forward(shards).map(|row| (row.project_id, &row.alias_id)).collect();
    for row in forward(shards) {
        let canonical = (row.project_id, &row.canonical_id);
        assert!(!aliases.contains(&canonical), "a chain goes through {row:?}");
    }
}

/// Checks that every alias has the inverse row that bears its stamp.
fn assert_pinned(database: &Database, shards: &[Tables]) {
    for row in forward(shards) {
        let shard = database.shard_of(row.project_id.cast_unsigned(), &row.canonical_id);
        let pinned = shards[shard].inverse.iter().any(|pin| pins(pin, row));
        assert!(pinned, "no inverse row pins the canonical id of {row:?}");
    }
}

/// Checks that every inverse row has the forward row that bears its stamp.
fn assert_no_orphans(shards: &[Tables]) {
    for pin in shards.iter().flat_map(|tables| &tables.inverse) {
        assert!(forward(shards).any(|row| pins(pin, row)), "an orphan: {pin:?}");
    }
}

/// Checks that the log has no gap and ends at the clock, and that replaying it gives exactly the
/// forward rows.
fn assert_log_is_whole(tables: &Tables) {
    let seqs: Vec<i64> = tables.changes.iter().map(|change| change.seq).collect();
    let expected: Vec<i64> = (1..=tables.clock.0).collect();
    assert_eq!(seqs, expected, "the log has a gap, or is not as long as the clock says");
    if let Some(last) = tables.changes.last() {
        assert_eq!(last.nonce, tables.clock.1, "the nonce of the last change is not the clock's");
    }
    let mut replayed = BTreeMap::new();
    for change in &tables.changes {
        let key = (change.slot, change.project_id, &change.alias_id);
        let before = match &change.new_canonical_id {
            Some(new) => replayed.insert(key, (new, change.seq)),
            None => replayed.remove(&key),
        };
        let before = before.map(|(canonical, _)| canonical);
        assert_eq!(before, change.old_canonical_id.as_ref(), "the old value of {change:?}");
        assert_ne!(before, change.new_canonical_id.as_ref(), "no change: {change:?}");
    }
    let stored: Vec<_> = (tables.forward.iter())
        .map(|row| ((row.slot, row.project_id, &row.alias_id), (&row.canonical_id, row.version)))
        .collect();
    assert_eq!(
        replayed.into_iter().collect::<Vec<_>>(),
        stored,
        "the log does not lead to the rows"
    );
}

fn forward(shards: &[Tables]) -> impl Iterator<Item = &ForwardRow> {
    shards.iter().flat_map(|tables| &tables.forward)
}

fn pins(pin: &InverseRow, row: &ForwardRow) -> bool {
    pin.stamp == row.stamp
        && (pin.project_id, &pin.canonical_id, &pin.alias_id)
            == (row.project_id, &row.canonical_id, &row.alias_id)
}
