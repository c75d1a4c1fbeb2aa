//! Deleting the oldest lines of the change log.

use super::backend::Backend;
use super::query::Query;
use super::row::SqlRow;
use crate::store::{Prune, Pruned};
use aka_core::domain::Identity;

/// The lock's name holds the shard's identity and not the database's name, which may be too long
/// for a lock. The lock belongs to the connection and ends with it.
///
/// Some databases have no such lock: SQLite, and servers that speak MySQL's protocol but refuse
/// GET_LOCK. There several instances may prune at once. That is correct too, because all delete the
/// same lines, from the oldest on. It costs each of them one query.
pub(super) async fn claim<B: Backend>(
    connection: &mut B,
    identity: &Identity,
) -> Result<bool, sqlx::Error> {
    let Some(lock) = B::TRY_LOCK else { return Ok(true) };
    let name = format!("aka prune {} {}", identity.cluster, identity.shard);
    match connection.fetch(Query::new(lock).bytes(name.as_bytes())).await {
        Ok(rows) => Ok(rows.first().ok_or(sqlx::Error::RowNotFound)?.int(0)? == 1),
        Err(error) if error.as_database_error().is_some() && !B::is_goodbye(&error) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Two statements, each in a transaction of its own. What the first finds is still true at the
/// second: lines only grow older, and on one server a line that is not the newest never becomes it.
/// (Another server means another connection, and then both statements run again.)
///
/// The clock row is read without locking it. The delete locks only lines that are never written
/// again.
pub(super) async fn prune<B: Backend>(
    connection: &mut B,
    what: &Prune,
) -> Result<Pruned, sqlx::Error> {
    let now = B::NOW_US;
    // This finds the last old line of the step; all before it go too. A line's time is the begin of
    // its write, so times are a little out of order. And a line that was written while the
    // database's clock was ahead must not hold up the lines after it. (If a whole step has such
    // lines, it waits until they are old enough.)
    let last_old = Query::new(format!(
        "SELECT COALESCE(MAX(seq), 0)
         FROM (SELECT seq, change_time_us FROM alias_change
               WHERE seq >= ? AND seq <= ? AND seq < (SELECT seq FROM shard_meta WHERE id = 1)
               ORDER BY seq LIMIT ?) AS oldest
         WHERE change_time_us <= {now} - ?"
    ));
    let age_us = what.age.as_micros();
    let last_old = last_old.int(what.from).int(what.through).int(what.limit).int(age_us);
    let rows = connection.fetch(last_old).await?;
    let last_old = rows.first().ok_or(sqlx::Error::RowNotFound)?.u64(0)?;
    if last_old == 0 {
        return Ok(Pruned { lines: 0, next: what.from });
    }
    let delete = Query::new("DELETE FROM alias_change WHERE seq >= ? AND seq <= ?");
    let lines = connection.execute(delete.int(what.from).int(last_old)).await?;
    Ok(Pruned { lines, next: last_old + 1 })
}
