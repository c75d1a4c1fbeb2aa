//! The identity of a shard, in the one row of `shard_meta`.

use super::backend::{Backend, classify};
use super::query::{Query, SqlArgs};
use super::row::SqlRow;
use crate::store::{SCHEMA_VERSION, StoreError};
use aka_core::domain::{ClusterId, Identity, Position, ShardId};

/// The column that says which versions of aka may use the tables. Tables of version 1 lack it.
pub(super) const COMPATIBLE: &str = "min_compatible_version";

/// What stands for [`COMPATIBLE`] on tables that lack it: only their own version is sure.
const NOT_COMPATIBLE: &str = "schema_version";

/// The identity of the shard behind a connection. `None` if the database has not been made a shard
/// yet.
pub(in crate::store) async fn read_identity<B: Backend>(
    connection: &mut B,
    address: &str,
) -> Result<Option<Identity>, StoreError> {
    Ok(find_identity(connection, address).await?.map(|(identity, _)| identity))
}

/// The same, and the column that stands for [`COMPATIBLE`] in these tables.
pub(super) async fn find_identity<B: Backend>(
    connection: &mut B,
    address: &str,
) -> Result<Option<(Identity, &'static str)>, StoreError> {
    let mut column = COMPATIBLE;
    let mut found = connection.fetch(identity_query(column)).await;
    if found.as_ref().is_err_and(is_missing_column) {
        column = NOT_COMPATIBLE;
        found = connection.fetch(identity_query(column)).await;
    }
    match found {
        Ok(rows) => {
            let identity = rows.first().map(|row| identity(row, 0)).transpose();
            let identity = identity.map_err(|error| {
                // It answers, but it is no shard: waiting does not help.
                StoreError::WrongShard(format!("{address}: shard_meta cannot be read: {error}"))
            })?;
            Ok(identity.map(|identity| (identity, column)))
        }
        Err(error) if is_missing_table(&error) => Ok(None),
        Err(error) => Err(classify::<B>(address, error)),
    }
}

fn identity_query<A: SqlArgs>(compatible: &str) -> Query<A> {
    Query::new(format!(
        "SELECT cluster_id, shard_id, shard_count, slots, schema_version, {compatible}
         FROM shard_meta WHERE id = 1"
    ))
}

/// An identity from six columns of a row, the first of which is `first`.
pub(super) fn identity(row: &impl SqlRow, first: usize) -> Result<Identity, sqlx::Error> {
    let slots = String::from_utf8_lossy(&row.bytes(first + 3)?).into_owned();
    Ok(Identity {
        cluster: ClusterId(row.u64(first)?),
        shard: ShardId(row.u16(first + 1)?),
        shard_count: row.u16(first + 2)?,
        slots: slots.parse().map_err(|fault| sqlx::Error::Decode(Box::new(fault)))?,
        schema_version: u32::from(row.u16(first + 4)?),
        min_compatible_version: u32::from(row.u16(first + 5)?),
    })
}

/// Raises the version of the tables, or the oldest version of aka that may use them. It never goes
/// down.
pub(in crate::store) async fn raise_version<B: Backend>(
    connection: &mut B,
    address: &str,
    version: Version,
) -> Result<(), StoreError> {
    let column = match version {
        Version::Schema => "schema_version",
        Version::MinCompatible => COMPATIBLE,
    };
    let raise = Query::new(format!(
        "UPDATE shard_meta SET {column} = {SCHEMA_VERSION}
         WHERE id = 1 AND {column} < {SCHEMA_VERSION}"
    ));
    let raised = connection.execute(raise).await;
    raised.map(drop).map_err(|error| classify::<B>(address, error))
}

/// A version in `shard_meta`.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) enum Version {
    /// Of the tables.
    Schema,
    /// Of the oldest aka that may use them.
    MinCompatible,
}

/// Makes an unclaimed database a shard. If another migration was faster it changes nothing.
pub(in crate::store) async fn give_identity<B: Backend>(
    connection: &mut B,
    address: &str,
    identity: &Identity,
    start: Position,
) -> Result<(), StoreError> {
    let insert = Query::new(
        "INSERT INTO shard_meta
            (id, cluster_id, shard_id, shard_count, slots, schema_version,
             min_compatible_version, seq, nonce)
         VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .int(identity.cluster.0)
    .int(identity.shard.0)
    .int(identity.shard_count)
    .bytes(identity.slots.to_string().as_bytes())
    .int(identity.schema_version)
    .int(identity.min_compatible_version)
    .int(start.seq)
    .int(start.nonce);
    match connection.execute(insert).await {
        Ok(_) => Ok(()),
        // Another migration was faster. The caller reads what it wrote.
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(()),
        Err(error) => Err(classify::<B>(address, error)),
    }
}

fn is_missing_column(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| {
        // ER_BAD_FIELD_ERROR's SQLSTATE; SQLite has only the text.
        error.code().is_some_and(|code| code == "42S22")
            || error.message().starts_with("no such column")
    })
}

fn is_missing_table(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| {
        // ER_NO_SUCH_TABLE's SQLSTATE; SQLite has only the text.
        error.code().is_some_and(|code| code == "42S02")
            || error.message().starts_with("no such table")
    })
}
