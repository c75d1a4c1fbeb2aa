//! Statements of a write transaction. It takes a handful of round trips, however many aliases it
//! changes.

use super::backend::{Backend, TooLong};
use super::claim::ClaimColumns;
use super::query::{ALIAS_KEY, CANONICAL_KEY, ROWS};
use super::reads;
use super::row::SqlRow;
use super::script::Script;
use super::text::Text;
use aka_core::domain::{Change, ForwardRow, InverseRow, Key, Position};
use aka_core::write::{Author, ChangeSet, Clock, ReadSet, Wanted};

/// How many keys one query asks for, at most: both ids of each alias of a full group.
const KEYS: usize = 2 * ROWS;

pub(super) async fn begin<B: Backend>(
    connection: &mut B,
    ClaimColumns { beat, flags, .. }: &ClaimColumns,
) -> Result<Clock, sqlx::Error> {
    let (begin, now, lock) = (B::BEGIN, B::NOW_US, B::FOR_UPDATE);
    let clock = format!(
        "{begin}; SELECT seq, nonce, {now}, {beat}, {flags} FROM shard_meta WHERE id = 1{lock}"
    );
    let rows = connection.fetch_text(Text(clock)).await?;
    let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let at = Position { seq: row.u64(0)?, nonce: row.u64(1)? };
    Ok(Clock { at, now: row.micros(2)?, claim: ClaimColumns::read(row, 3, 4)? })
}

pub(super) async fn read_set<B: Backend>(
    connection: &mut B,
    wanted: &Wanted,
    longest: usize,
) -> Result<ReadSet, sqlx::Error> {
    let mut read = ReadSet::default();
    let mut rest = &wanted.keys[..];
    while !rest.is_empty() {
        let (select, taken) = rows_and_counts::<B>(rest, longest)?;
        rest = &rest[taken..];
        for row in connection.fetch_text(select).await? {
            let key = row.key(0, 3)?;
            if row.opt_bytes(4)?.is_some() {
                read.forward.insert(key.clone(), reads::forward_row(&row)?);
            }
            read.pin_counts.insert(key, row.u64(7)?);
        }
    }
    for row in reads::pins_of(connection, &wanted.pins, longest).await? {
        read.pins.entry(row.canonical.clone()).or_default().push(row);
    }
    Ok(read)
}

/// Reads the forward rows and the pins of the first keys in one statement, which joins both tables
/// with one list of the keys. Most of the cost is in reading the list, so a list for each table
/// costs twice as much. A key without either may come back or not. Returns also how many keys fit:
/// one at least.
fn rows_and_counts<B: Backend>(keys: &[Key], longest: usize) -> Result<(Text, usize), TooLong> {
    let [first, next, end] = B::TABLE_ROWS;
    let [outer, outer_end] = B::ROWS_FOUND;
    let tail = format!(
        "{end}) {outer}SELECT wanted.project_id, version, stamp, wanted.id, canonical_id, create_time_us,
            update_time_us,
            (SELECT COUNT(DISTINCT alias_id) FROM canonical WHERE canonical.slot = wanted.slot
                AND canonical.project_id = wanted.project_id AND canonical.canonical_id = wanted.id)
                AS pins
         FROM wanted LEFT JOIN alias ON alias.slot = wanted.slot
            AND alias.project_id = wanted.project_id AND alias.alias_id = wanted.id{outer_end}"
    );
    let mut select = Text::new("WITH wanted (slot, project_id, id) AS (");
    let mut taken = 0;
    for key in keys.iter().take(KEYS) {
        let before = select.0.len();
        select.sql(if taken == 0 { first } else { next }).key(key);
        let bytes = select.0.len() + tail.len();
        if bytes > longest {
            if taken == 0 {
                return Err(TooLong { bytes, limit: longest });
            }
            select.0.truncate(before);
            break;
        }
        taken += 1;
    }
    select.sql(&tail);
    Ok((select, taken))
}

/// Writes everything, usually in one round trip. Rows are inserted in key order, because rows with
/// neighbouring keys are on the same page of the B-tree. `authors`: for each line of the change log, if
/// the tables have room for them.
pub(super) async fn write<B: Backend>(
    connection: &mut B,
    changes: &ChangeSet,
    authors: Option<&[Option<&Author>]>,
    longest: usize,
) -> Result<(), sqlx::Error> {
    // All of it is made before any is sent, so a row that does not fit writes nothing.
    for message in script::<B>(changes, authors, longest)?.into_messages() {
        connection.execute_text(message).await?;
    }
    Ok(())
}

fn script<B: Backend>(
    changes: &ChangeSet,
    authors: Option<&[Option<&Author>]>,
    longest: usize,
) -> Result<Script, TooLong> {
    let mut script = Script::new(longest);
    insert_inverse(&mut script, &changes.insert_inverse)?;
    put_forward(&mut script, "INSERT", &changes.insert_forward)?;
    put_forward(&mut script, "REPLACE", &changes.replace_forward)?;
    delete::<B, _>(&mut script, "alias", &ALIAS_KEY, &changes.delete_forward, |text, key| {
        text.key(key);
    })?;
    let [slot, project, canonical] = CANONICAL_KEY;
    let columns = [slot, project, canonical, "alias_id", "stamp"];
    delete::<B, _>(&mut script, "canonical", &columns, &changes.delete_inverse, |text, row| {
        text.key(&row.canonical).sql(",").id(&row.alias).sql(",").int(row.stamp.0);
    })?;
    insert_log(&mut script, &changes.log, authors)?;
    // If only inverse rows changed, no alias did, and the clock stays.
    if !changes.log.is_empty() {
        let Position { seq, nonce } = changes.at;
        let mut clock = Text::new("UPDATE shard_meta SET seq = ");
        clock.int(seq).sql(", nonce = ").int(nonce).sql(" WHERE id = 1;\n");
        script.statement(&clock)?;
    }
    Ok(script)
}

/// `DELETE FROM table WHERE (a, b, …) IN (…)`.
fn delete<B: Backend, T>(
    script: &mut Script,
    table: &str,
    columns: &[&str],
    rows: &[T],
    write: impl FnMut(&mut Text, &T),
) -> Result<(), TooLong> {
    let (columns, tuples) = (columns.join(","), B::TUPLES);
    let head = format!("DELETE FROM {table} WHERE ({columns}) IN ({tuples}");
    script.list(&head, rows, ");\n", in_brackets(write))
}

/// `INSERT INTO … VALUES (…), (…)`.
fn put<T>(
    script: &mut Script,
    head: &str,
    rows: &[T],
    write: impl FnMut(&mut Text, &T),
) -> Result<(), TooLong> {
    script.list(&format!("{head} VALUES "), rows, ";\n", in_brackets(write))
}

fn in_brackets<T>(mut write: impl FnMut(&mut Text, &T)) -> impl FnMut(&mut Text, &T) {
    move |text, row| {
        text.sql("(");
        write(text, row);
        text.sql(")");
    }
}

fn insert_inverse(script: &mut Script, rows: &[InverseRow]) -> Result<(), TooLong> {
    let mut rows: Vec<_> = rows.iter().collect();
    rows.sort_unstable_by(|a, b| (&a.canonical, &a.alias).cmp(&(&b.canonical, &b.alias)));
    let head =
        "INSERT INTO canonical (slot, project_id, canonical_id, alias_id, stamp, create_time_us)";
    put(script, head, &rows, |text, row| {
        text.key(&row.canonical).sql(",").id(&row.alias);
        text.sql(",").int(row.stamp.0).sql(",").int(row.created.0);
    })
}

fn put_forward(script: &mut Script, verb: &str, rows: &[(Key, ForwardRow)]) -> Result<(), TooLong> {
    let mut rows: Vec<_> = rows.iter().collect();
    rows.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let head = format!(
        "{verb} INTO alias (slot, project_id, alias_id, canonical_id, version, stamp,
            create_time_us, update_time_us)"
    );
    put(script, &head, &rows, |text, (key, row)| {
        text.key(key).sql(",").id(&row.canonical);
        text.sql(",").int(row.version).sql(",").int(row.stamp.0);
        text.sql(",").int(row.created.0).sql(",").int(row.updated.0);
    })
}

fn insert_log(
    script: &mut Script,
    log: &[Change],
    authors: Option<&[Option<&Author>]>,
) -> Result<(), TooLong> {
    let more = if authors.is_some() { ", operation_id, principal, reason" } else { "" };
    let head = format!(
        "INSERT INTO alias_change (seq, nonce, slot, project_id, alias_id,
        old_canonical_id, new_canonical_id, change_time_us{more})"
    );
    let lines = log.iter().enumerate();
    let line = |(index, change)| {
        let author = authors.map(|authors| authors.get(index).copied().flatten());
        (change, author)
    };
    let lines: Vec<(&Change, Option<Option<&Author>>)> = lines.map(line).collect();
    put(script, &head, &lines, |text, (change, author)| {
        text.int(change.at.seq).sql(",").int(change.at.nonce).sql(",").key(&change.alias);
        text.sql(",").opt_id(change.old.as_ref()).sql(",").opt_id(change.new.as_ref());
        text.sql(",").int(change.time.0);
        match author {
            None => {}
            Some(None) => {
                text.sql(",NULL,NULL,NULL");
            }
            Some(Some(Author { operation, principal, reason })) => {
                text.sql(",").int(*operation);
                for words in [principal, reason] {
                    text.sql(",").opt_bytes(words.as_deref().map(str::as_bytes));
                }
            }
        }
    })
}
