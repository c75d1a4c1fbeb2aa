//! Checks that tables with the names of aka's tables are aka's.

use super::backend::{Backend, classify};
use super::query::Query;
use super::row::SqlRow;
use crate::store::StoreError;

/// What a column holds. Text does not count as bytes, because its collation may fold case and pad.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Integer,
    Bytes,
    /// Anything else. A column of sqlx's table may have any type, because they differ.
    Any,
}

use Kind::{Any, Bytes, Integer};

/// A table, and its columns.
type Table = (&'static str, &'static [(&'static str, Kind)]);

/// The tables of `migrations`.
const TABLES: [Table; 5] = [
    (
        "alias",
        &[
            ("slot", Integer),
            ("project_id", Integer),
            ("alias_id", Bytes),
            ("canonical_id", Bytes),
            ("version", Integer),
            ("stamp", Integer),
            ("create_time_us", Integer),
            ("update_time_us", Integer),
        ],
    ),
    (
        "canonical",
        &[
            ("slot", Integer),
            ("project_id", Integer),
            ("canonical_id", Bytes),
            ("alias_id", Bytes),
            ("stamp", Integer),
            ("create_time_us", Integer),
        ],
    ),
    (
        "alias_change",
        &[
            ("seq", Integer),
            ("nonce", Integer),
            ("slot", Integer),
            ("project_id", Integer),
            ("alias_id", Bytes),
            ("old_canonical_id", Bytes),
            ("new_canonical_id", Bytes),
            ("change_time_us", Integer),
        ],
    ),
    (
        "shard_meta",
        &[
            ("id", Integer),
            ("cluster_id", Integer),
            ("shard_id", Integer),
            ("shard_count", Integer),
            ("slots", Bytes),
            ("schema_version", Integer),
            ("seq", Integer),
            ("nonce", Integer),
        ],
    ),
    ("shard_beat", &[("id", Integer), ("beat_us", Integer), ("beat_by", Bytes)]),
];

/// The table in which sqlx notes the migrations that have run.
pub(in crate::store) const MIGRATIONS: &str = "_sqlx_migrations";

const MIGRATIONS_COLUMNS: &[(&str, Kind)] = &[
    ("version", Any),
    ("description", Any),
    ("installed_on", Any),
    ("success", Any),
    ("checksum", Any),
    ("execution_time", Any),
];

/// Checks that every table of the database that has the name of one of aka's has its columns. A
/// newer aka may have added columns. Returns the names of those that are there.
///
/// # Errors
/// [`StoreError::WrongShard`] if one is another program's, with a sentence that names it.
pub(in crate::store) async fn check_tables<B: Backend>(
    connection: &mut B,
    address: &str,
) -> Result<Vec<&'static str>, StoreError> {
    let tables = TABLES.into_iter().chain([(MIGRATIONS, MIGRATIONS_COLUMNS)]);
    let names: Vec<_> = tables.clone().map(|(name, _)| name).collect();
    let found = columns(connection, &names).await;
    let found = found.map_err(|error| classify::<B>(address, error))?;
    let mut present = Vec::new();
    for (name, columns) in tables {
        let its_columns: Vec<_> = found.iter().filter(|(table, _, _)| table == name).collect();
        if its_columns.is_empty() {
            continue;
        }
        for (column, kind) in columns {
            let holds =
                its_columns.iter().find(|(_, its, _)| its == column).map(|(.., kind)| *kind);
            if !holds.is_some_and(|holds| holds == *kind || *kind == Any) {
                let fault = if holds.is_some() { "of another type" } else { "missing" };
                return Err(not_akas(address, name, &format!("its column {column} is {fault}")));
            }
        }
        present.push(name);
    }
    Ok(present)
}

/// The fault of a database that holds a table of another program.
pub(in crate::store) fn not_akas(address: &str, table: &str, why: &str) -> StoreError {
    StoreError::WrongShard(format!(
        "{address} has a table `{table}` that is not aka's ({why}): give aka a database of its own, or rename that table"
    ))
}

/// The columns of these tables: table, column, and what it holds.
async fn columns<B: Backend>(
    connection: &mut B,
    tables: &[&str],
) -> Result<Vec<(String, String, Kind)>, sqlx::Error> {
    let rows = connection.fetch(Query::new(B::columns_of(tables))).await?;
    let text = |row: &B::Row, column| {
        row.bytes(column).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    };
    let column = |row: &B::Row| {
        let kind = match text(row, 2)?.to_ascii_lowercase().as_str() {
            "tinyint" | "smallint" | "mediumint" | "int" | "integer" | "bigint" => Integer,
            "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => Bytes,
            _ => Any,
        };
        Ok((text(row, 0)?, text(row, 1)?, kind))
    };
    rows.iter().map(column).collect()
}
