//! Statements of a write transaction. It takes a handful of round trips, however many aliases it
//! changes.

use super::backend::Backend;
use super::query::{ALIAS_KEY, CANONICAL_KEY, ROWS};
use super::reads;
use super::row::SqlRow;
use super::text::Text;
use aka_core::domain::{Change, ForwardRow, InverseRow, Key, Position};
use aka_core::write::{ChangeSet, Clock, ReadSet, Wanted};

/// How many keys one query asks for, at most: both ids of each alias of a full group.
const KEYS: usize = 2 * ROWS;

pub(super) async fn begin<B: Backend>(connection: &mut B) -> Result<Clock, sqlx::Error> {
    let (begin, now, lock) = (B::BEGIN, B::NOW_US, B::FOR_UPDATE);
    let clock = format!("{begin}; SELECT seq, nonce, {now} FROM shard_meta WHERE id = 1{lock}");
    let rows = connection.fetch_text(Text(clock)).await?;
    let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let at = Position { seq: row.u64(0)?, nonce: row.u64(1)? };
    Ok(Clock { at, now: row.micros(2)? })
}

pub(super) async fn read_set<B: Backend>(
    connection: &mut B,
    wanted: &Wanted,
) -> Result<ReadSet, sqlx::Error> {
    let mut read = ReadSet::default();
    for keys in wanted.keys.chunks(KEYS) {
        rows_and_counts(connection, keys, &mut read).await?;
    }
    for row in reads::pins_of(connection, &wanted.pins).await? {
        read.pins.entry(row.canonical.clone()).or_default().push(row);
    }
    Ok(read)
}

/// Reads the forward rows and the pins of all keys in one statement, which joins both tables with
/// one list of the keys. Most of the cost is in reading the list, so a list for each table costs
/// twice as much.
async fn rows_and_counts<B: Backend>(
    connection: &mut B,
    keys: &[Key],
    read: &mut ReadSet,
) -> Result<(), sqlx::Error> {
    let mut select = Text::new("WITH wanted (slot, project_id, id) AS (VALUES ");
    select.list(keys, |text, key| {
        text.sql(B::VALUES_ROW).sql("(").key(key).sql(")");
    });
    let aliases = "FROM canonical WHERE canonical.slot = wanted.slot
        AND canonical.project_id = wanted.project_id AND canonical.canonical_id = wanted.id";
    select.sql(&format!(
        ") SELECT wanted.project_id, version, stamp, wanted.id, canonical_id, create_time_us,
            update_time_us,
            (SELECT COUNT(DISTINCT alias_id) {aliases})
         FROM wanted LEFT JOIN alias ON alias.slot = wanted.slot
            AND alias.project_id = wanted.project_id AND alias.alias_id = wanted.id
         WHERE version IS NOT NULL OR EXISTS (SELECT 1 {aliases})"
    ));
    for row in connection.fetch_text(select).await? {
        let key = row.key(0, 3)?;
        if row.opt_bytes(4)?.is_some() {
            read.forward.insert(key.clone(), reads::forward_row(&row)?);
        }
        read.pin_counts.insert(key, row.u64(7)?);
    }
    Ok(())
}

/// Writes everything in one round trip. Rows are inserted in key order, because neighbours share a
/// page.
pub(super) async fn write<B: Backend>(
    connection: &mut B,
    changes: &ChangeSet,
) -> Result<(), sqlx::Error> {
    let mut text = Text::default();
    insert_inverse(&mut text, &changes.insert_inverse);
    put_forward(&mut text, "INSERT", &changes.insert_forward);
    put_forward(&mut text, "REPLACE", &changes.replace_forward);
    for keys in changes.delete_forward.chunks(ROWS) {
        text.sql("DELETE FROM alias WHERE ");
        keys_in::<B>(&mut text, &ALIAS_KEY, keys);
        text.sql(";\n");
    }
    for rows in changes.delete_inverse.chunks(ROWS) {
        delete_inverse::<B>(&mut text, rows);
    }
    insert_log(&mut text, &changes.log);
    // If only inverse rows changed, no alias did, and the clock stays.
    if !changes.log.is_empty() {
        let Position { seq, nonce } = changes.at;
        text.sql("UPDATE shard_meta SET seq = ").int(seq).sql(", nonce = ").int(nonce);
        text.sql(" WHERE id = 1;\n");
    }
    connection.execute_text(text).await
}

fn keys_in<B: Backend>(text: &mut Text, columns: &[&str], keys: &[Key]) {
    tuples_in::<B, _>(text, columns, keys, |text, key| {
        text.key(key);
    });
}

/// `(a, b, …) IN (…)`.
fn tuples_in<B: Backend, T>(
    text: &mut Text,
    columns: &[&str],
    tuples: &[T],
    mut write: impl FnMut(&mut Text, &T),
) {
    text.sql("(").sql(&columns.join(",")).sql(") IN (").sql(B::TUPLES);
    text.list(tuples, |text, tuple| {
        text.sql("(");
        write(text, tuple);
        text.sql(")");
    });
    text.sql(")");
}

/// `INSERT INTO … VALUES (…), (…)`, with at most [`ROWS`] rows in each statement.
fn put<T>(text: &mut Text, head: &str, rows: &[T], mut write: impl FnMut(&mut Text, &T)) {
    for rows in rows.chunks(ROWS) {
        text.sql(head).sql(" VALUES ");
        text.list(rows, |text, row| {
            text.sql("(");
            write(text, row);
            text.sql(")");
        });
        text.sql(";\n");
    }
}

fn insert_inverse(text: &mut Text, rows: &[InverseRow]) {
    let mut rows: Vec<_> = rows.iter().collect();
    rows.sort_unstable_by(|a, b| (&a.canonical, &a.alias).cmp(&(&b.canonical, &b.alias)));
    let head =
        "INSERT INTO canonical (slot, project_id, canonical_id, alias_id, stamp, create_time_us)";
    put(text, head, &rows, |text, row| {
        text.key(&row.canonical).sql(",").id(&row.alias);
        text.sql(",").int(row.stamp.0).sql(",").int(row.created.0);
    });
}

fn put_forward(text: &mut Text, verb: &str, rows: &[(Key, ForwardRow)]) {
    let mut rows: Vec<_> = rows.iter().collect();
    rows.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let head = format!(
        "{verb} INTO alias (slot, project_id, alias_id, canonical_id, version, stamp,
            create_time_us, update_time_us)"
    );
    put(text, &head, &rows, |text, (key, row)| {
        text.key(key).sql(",").id(&row.canonical);
        text.sql(",").int(row.version).sql(",").int(row.stamp.0);
        text.sql(",").int(row.created.0).sql(",").int(row.updated.0);
    });
}

fn delete_inverse<B: Backend>(text: &mut Text, rows: &[InverseRow]) {
    let [slot, project, canonical] = CANONICAL_KEY;
    text.sql("DELETE FROM canonical WHERE ");
    tuples_in::<B, _>(text, &[slot, project, canonical, "alias_id", "stamp"], rows, |text, row| {
        text.key(&row.canonical).sql(",").id(&row.alias).sql(",").int(row.stamp.0);
    });
    text.sql(";\n");
}

fn insert_log(text: &mut Text, log: &[Change]) {
    let head = "INSERT INTO alias_change (seq, nonce, slot, project_id, alias_id,
        old_canonical_id, new_canonical_id, change_time_us)";
    put(text, head, log, |text, change| {
        text.int(change.at.seq).sql(",").int(change.at.nonce).sql(",").key(&change.alias);
        text.sql(",").opt_id(change.old.as_ref()).sql(",").opt_id(change.new.as_ref());
        text.sql(",").int(change.time.0);
    });
}
