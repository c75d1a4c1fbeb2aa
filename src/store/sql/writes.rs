//! Statements of a write transaction: a handful of round trips, however many aliases it changes.

use super::backend::{Backend, Query, Row, tuple};
use super::reads;
use super::session::{bind_padded, padded};
use super::{ALIAS_KEY, CANONICAL_KEY, ROWS};
use crate::domain::{Change, ForwardRow, InverseRow, Key, Position};
use crate::store::{ChangeSet, Clock, ReadSet, Wanted};
use std::collections::HashMap;

pub(super) async fn begin<B: Backend>(connection: &mut B) -> Result<Clock, sqlx::Error> {
    connection.command(B::BEGIN).await?;
    let (now, lock) = (B::NOW_US, B::FOR_UPDATE);
    let query = format!("SELECT seq, nonce, {now} FROM shard_meta WHERE id = 1{lock}");
    let rows = connection.fetch(Query::new(query)).await?;
    let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let at = Position { seq: row.u64(0)?, nonce: row.u64(1)? };
    Ok(Clock { at, now: row.micros(2)? })
}

pub(super) async fn read_set<B: Backend>(
    connection: &mut B,
    wanted: &Wanted,
) -> Result<ReadSet, sqlx::Error> {
    let mut read = ReadSet::default();
    for keys in wanted.forward.chunks(ROWS) {
        read.forward.extend(reads::load(connection, keys).await?.rows);
    }
    for keys in wanted.pin_counts.chunks(ROWS) {
        pin_counts(connection, keys, &mut read.pin_counts).await?;
    }
    for row in reads::pins_of(connection, &wanted.pins).await? {
        read.pins.entry(row.canonical.clone()).or_default().push(row);
    }
    Ok(read)
}

async fn pin_counts<B: Backend>(
    connection: &mut B,
    keys: &[Key],
    counts: &mut HashMap<Key, u64>,
) -> Result<(), sqlx::Error> {
    let keys_in = B::rows_in(&CANONICAL_KEY, padded(keys).count());
    let mut query = Query::new(format!(
        "SELECT project_id, canonical_id, COUNT(DISTINCT alias_id) FROM canonical WHERE {keys_in} GROUP BY slot, project_id, canonical_id"
    ));
    bind_padded(&mut query, keys);
    for row in connection.fetch(query).await? {
        counts.insert(row.key(0, 1)?, row.u64(2)?);
    }
    Ok(())
}

pub(super) async fn write<B: Backend>(
    connection: &mut B,
    changes: &ChangeSet,
) -> Result<(), sqlx::Error> {
    for rows in pieces(&changes.insert_inverse) {
        insert_inverse(connection, rows).await?;
    }
    for rows in pieces(&changes.insert_forward) {
        put_forward(connection, "INSERT", rows).await?;
    }
    for rows in pieces(&changes.replace_forward) {
        put_forward(connection, "REPLACE", rows).await?;
    }
    for keys in changes.delete_forward.chunks(ROWS) {
        let keys_in = B::rows_in(&ALIAS_KEY, padded(keys).count());
        let mut query = Query::new(format!("DELETE FROM alias WHERE {keys_in}"));
        bind_padded(&mut query, keys);
        connection.execute(query).await?;
    }
    for rows in pieces(&changes.delete_inverse) {
        delete_inverse(connection, rows).await?;
    }
    for log in pieces(&changes.log) {
        insert_log(connection, log).await?;
    }
    if changes.log.is_empty() {
        // Only inverse rows changed: no alias did, so the clock stands still.
        return Ok(());
    }
    let Position { seq, nonce } = changes.at;
    let clock = Query::new("UPDATE shard_meta SET seq = ?, nonce = ? WHERE id = 1");
    connection.execute(clock.int(seq).int(nonce)).await.map(drop)
}

/// Cuts rows into runs whose lengths are powers of two, longest first: so a connection prepares a
/// handful of statements once, and no insert of a new length has to be parsed.
fn pieces<R>(mut rows: &[R]) -> impl Iterator<Item = &[R]> {
    std::iter::from_fn(move || {
        let length = 1 << rows.len().min(ROWS).checked_ilog2()?;
        let (piece, rest) = rows.split_at(length);
        rows = rest;
        Some(piece)
    })
}

async fn insert_inverse<B: Backend>(
    connection: &mut B,
    rows: &[InverseRow],
) -> Result<(), sqlx::Error> {
    let mut query = insert::<B>(
        "INSERT INTO canonical (slot, project_id, canonical_id, alias_id, stamp, create_time_us)",
        6,
        rows.len(),
    );
    for row in rows {
        query = query.key(&row.canonical).bytes(row.alias.as_bytes()).int(row.stamp.0);
        query.add_int(row.created.0);
    }
    connection.execute(query).await.map(drop)
}

async fn put_forward<B: Backend>(
    connection: &mut B,
    verb: &str,
    rows: &[(Key, ForwardRow)],
) -> Result<(), sqlx::Error> {
    let mut query = insert::<B>(
        &format!(
            "{verb} INTO alias (slot, project_id, alias_id, canonical_id, version, stamp, create_time_us, update_time_us)"
        ),
        8,
        rows.len(),
    );
    for (key, row) in rows {
        query = query.key(key).bytes(row.canonical.as_bytes()).int(row.version).int(row.stamp.0);
        query.add_int(row.created.0);
        query.add_int(row.updated.0);
    }
    connection.execute(query).await.map(drop)
}

async fn delete_inverse<B: Backend>(
    connection: &mut B,
    rows: &[InverseRow],
) -> Result<(), sqlx::Error> {
    let [slot, project, canonical] = CANONICAL_KEY;
    let rows_in = B::rows_in(&[slot, project, canonical, "alias_id", "stamp"], rows.len());
    let mut query = Query::new(format!("DELETE FROM canonical WHERE {rows_in}"));
    for row in rows {
        query = query.key(&row.canonical).bytes(row.alias.as_bytes()).int(row.stamp.0);
    }
    connection.execute(query).await.map(drop)
}

async fn insert_log<B: Backend>(connection: &mut B, log: &[Change]) -> Result<(), sqlx::Error> {
    let mut query = insert::<B>(
        "INSERT INTO alias_change (seq, nonce, slot, project_id, alias_id, old_canonical_id, new_canonical_id, change_time_us)",
        8,
        log.len(),
    );
    for change in log {
        query = query.int(change.at.seq).int(change.at.nonce).key(&change.alias);
        query.add_opt_id(change.old.as_ref());
        query.add_opt_id(change.new.as_ref());
        query.add_int(change.time.0);
    }
    connection.execute(query).await.map(drop)
}

fn insert<B: Backend>(head: &str, columns: usize, rows: usize) -> Query<B::Args> {
    let rows = vec![tuple("?", columns); rows].join(", ");
    Query::new(format!("{head} VALUES {rows}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_powers_of_two_and_lose_nothing() {
        for count in [0, 1, 2, 3, 255, 256, 257, 1_000] {
            let rows: Vec<usize> = (0..count).collect();
            let cut: Vec<&[usize]> = pieces(&rows).collect();
            assert!(cut.iter().all(|piece| piece.len().is_power_of_two() && piece.len() <= ROWS));
            assert_eq!(cut.concat(), rows);
        }
    }
}
