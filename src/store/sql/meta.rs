//! The identity of a shard, in the one row of `shard_meta`.

use super::backend::{Backend, classify};
use super::query::Query;
use super::row::SqlRow;
use crate::store::StoreError;
use aka_core::domain::{ClusterId, Identity, Position, ShardId};

const IDENTITY: &str =
    "SELECT cluster_id, shard_id, shard_count, slots, schema_version FROM shard_meta WHERE id = 1";

/// The identity of the shard behind a connection. `None` if the database has not been made a shard
/// yet.
pub(in crate::store) async fn read_identity<B: Backend>(
    connection: &mut B,
    address: &str,
) -> Result<Option<Identity>, StoreError> {
    match connection.fetch(Query::new(IDENTITY)).await {
        Ok(rows) => {
            rows.first().map(|row| identity(row, 0)).transpose().map_err(|error| {
                // It answers, but it is no shard: waiting does not help.
                StoreError::WrongShard(format!("{address}: shard_meta cannot be read: {error}"))
            })
        }
        Err(error) if is_missing_table(&error) => Ok(None),
        Err(error) => Err(classify::<B>(address, error)),
    }
}

/// An identity from five columns of a row, the first of which is `first`.
pub(super) fn identity(row: &impl SqlRow, first: usize) -> Result<Identity, sqlx::Error> {
    let slots = String::from_utf8_lossy(&row.bytes(first + 3)?).into_owned();
    Ok(Identity {
        cluster: ClusterId(row.u64(first)?),
        shard: ShardId(row.u16(first + 1)?),
        shard_count: row.u16(first + 2)?,
        slots: slots.parse().map_err(|fault| sqlx::Error::Decode(Box::new(fault)))?,
        schema_version: u32::from(row.u16(first + 4)?),
    })
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
            (id, cluster_id, shard_id, shard_count, slots, schema_version, seq, nonce)
         VALUES (1, ?, ?, ?, ?, ?, ?, ?)",
    )
    .int(identity.cluster.0)
    .int(identity.shard.0)
    .int(identity.shard_count)
    .bytes(identity.slots.to_string().as_bytes())
    .int(identity.schema_version)
    .int(start.seq)
    .int(start.nonce);
    match connection.execute(insert).await {
        Ok(_) => Ok(()),
        // Another migration was faster. The caller reads what it wrote.
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(()),
        Err(error) => Err(classify::<B>(address, error)),
    }
}

fn is_missing_table(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| {
        // ER_NO_SUCH_TABLE's SQLSTATE; SQLite has only the text.
        error.code().is_some_and(|code| code == "42S02")
            || error.message().starts_with("no such table")
    })
}
