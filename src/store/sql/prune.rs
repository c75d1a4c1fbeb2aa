//! Deleting the oldest lines of the change log.

use super::backend::{Backend, Query, Row};
use crate::store::{Prune, Pruned};
use aka_core::domain::Identity;

/// The lock is named by who the shard is: the name of a database may be longer than that of a lock.
/// It belongs to the connection and goes with it, however that ends.
///
/// Where there is no such lock (SQLite, and servers that speak MySQL's protocol but refuse GET_LOCK)
/// several may prune at once. That is as right, and costs them a look each: their deletes are of the
/// same lines, from the oldest on.
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

/// Two statements, each a transaction of its own. What the first finds stays true until the second:
/// lines only grow older, and what was not the newest never becomes it on the same server. (A new
/// server means a new connection, and both statements again.)
///
/// The clock is read without its lock; the delete locks only lines that nobody writes any more.
pub(super) async fn prune<B: Backend>(
    connection: &mut B,
    what: &Prune,
) -> Result<Pruned, sqlx::Error> {
    let now = B::NOW_US;
    // The last old line of a step, and all before it: times are those of the writes' begins, so they
    // are a little out of order, and one from a moment when the database's clock was ahead is not to
    // hold up those after it. (A whole step of such lines waits until their time has come.)
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
