//! Reading whole tables, page by page in key order.

use super::backend::Backend;
use super::claim::ClaimColumns;
use super::query::{Query, SqlArgs};
use super::row::SqlRow;
use crate::store::{AliasPage, Stored};
use aka_core::domain::{ForwardRow, Id, InverseRow, Key, Micros, Position};

/// `(slot, project_id, alias_id) > (?, ?, ?)`, written out because MySQL does not answer that form
/// from an index. The first condition follows from the others; SQLite needs it to start in the
/// middle.
const AFTER_ALIAS: &str = " WHERE slot >= ? AND (slot > ? OR (slot = ?
    AND (project_id > ? OR (project_id = ? AND alias_id > ?))))";
/// The same for `(slot, project_id, canonical_id, alias_id, stamp)`.
const AFTER_INVERSE: &str = " WHERE slot >= ? AND (slot > ? OR (slot = ?
    AND (project_id > ? OR (project_id = ? AND (canonical_id > ? OR (canonical_id = ?
    AND (alias_id > ? OR (alias_id = ? AND stamp > ?))))))))";

fn after_alias<A: SqlArgs>(mut query: Query<A>, slot: u16, key: &Key) -> Query<A> {
    query.sql += AFTER_ALIAS;
    let project = key.project().get();
    query.int(slot).int(slot).int(slot).int(project).int(project).bytes(key.id().as_bytes())
}

pub(super) async fn scan_forward<B: Backend>(
    connection: &mut B,
    after: Option<&Stored<ForwardRow>>,
    limit: u32,
) -> Result<Vec<Stored<ForwardRow>>, sqlx::Error> {
    let mut query = Query::new(
        "SELECT slot, project_id, alias_id, canonical_id, version, stamp, create_time_us,
            update_time_us FROM alias",
    );
    if let Some(Stored { filed_slot, key, .. }) = after {
        query = after_alias(query, *filed_slot, key);
    }
    query.sql += " ORDER BY slot, project_id, alias_id LIMIT ?";
    let stored = |row: &B::Row| {
        let forward = ForwardRow {
            canonical: row.id(3)?,
            version: row.u64(4)?,
            stamp: row.stamp(5)?,
            created: row.micros(6)?,
            updated: row.micros(7)?,
        };
        Ok(Stored { filed_slot: row.u16(0)?, key: row.key(1, 2)?, row: forward })
    };
    connection.fetch(query.int(limit)).await?.iter().map(stored).collect()
}

/// The row that has no id is the clock's.
pub(super) async fn scan_aliases<B: Backend>(
    connection: &mut B,
    after: Option<&Stored<Id>>,
    limit: u32,
    ClaimColumns { beat, flags, .. }: &ClaimColumns,
) -> Result<AliasPage, sqlx::Error> {
    let mut query = Query::new(format!(
        "SELECT seq AS a, nonce AS b, NULL AS id, NULL AS canonical, {beat} AS p, {flags} AS f
         FROM shard_meta WHERE id = 1
         UNION ALL
         SELECT slot, project_id, alias_id, canonical_id, 0, 0
         FROM (SELECT slot, project_id, alias_id, canonical_id FROM alias"
    ));
    if let Some(Stored { filed_slot, key, .. }) = after {
        query = after_alias(query, *filed_slot, key);
    }
    query.sql += " ORDER BY slot, project_id, alias_id LIMIT ?) AS page";
    let (mut clock, mut aliases) = (None, Vec::new());
    for row in connection.fetch(query.int(limit)).await? {
        if row.opt_bytes(2)?.is_none() {
            let at = Position { seq: row.u64(0)?, nonce: row.u64(1)? };
            clock = Some((at, ClaimColumns::read(&row, 4, 5)?));
        } else {
            aliases.push(Stored { filed_slot: row.u16(0)?, key: row.key(1, 2)?, row: row.id(3)? });
        }
    }
    // The order inside a derived table need not be kept.
    aliases.sort_unstable_by(|one: &Stored<Id>, other| {
        let order = |stored: &Stored<Id>| (stored.filed_slot, stored.key.project().get());
        let by_id = || one.key.id().as_bytes().cmp(other.key.id().as_bytes());
        order(one).cmp(&order(other)).then_with(by_id)
    });
    let (at, claim) = clock.ok_or(sqlx::Error::RowNotFound)?;
    Ok(AliasPage { at, claim, aliases })
}

/// The database looks at no more than `limit` rows, however large the table is.
pub(super) async fn count_first<B: Backend>(
    connection: &mut B,
    limit: u32,
) -> Result<Vec<(u16, u64)>, sqlx::Error> {
    let query = Query::new(
        "SELECT slot, COUNT(*)
         FROM (SELECT slot FROM alias ORDER BY slot, project_id, alias_id LIMIT ?) AS firsts
         GROUP BY slot ORDER BY slot",
    );
    let rows = connection.fetch(query.int(limit)).await?;
    rows.iter().map(|row| Ok((row.u16(0)?, row.u64(1)?))).collect()
}

pub(super) async fn scan_inverse<B: Backend>(
    connection: &mut B,
    after: Option<&Stored<InverseRow>>,
    limit: u32,
) -> Result<(Micros, Vec<Stored<InverseRow>>), sqlx::Error> {
    let now = connection.fetch(Query::new(format!("SELECT {}", B::NOW_US))).await?;
    let now = now.first().ok_or(sqlx::Error::RowNotFound)?.micros(0)?;
    let mut query = Query::new(
        "SELECT slot, project_id, canonical_id, alias_id, stamp, create_time_us FROM canonical",
    );
    if let Some(Stored { filed_slot, key, row: InverseRow { alias, stamp, .. } }) = after {
        query.sql += AFTER_INVERSE;
        let (slot, project) = (*filed_slot, key.project().get());
        let (canonical, alias) = (key.id().as_bytes(), alias.as_bytes());
        query = query.int(slot).int(slot).int(slot).int(project).int(project);
        query = query.bytes(canonical).bytes(canonical).bytes(alias).bytes(alias).int(stamp.0);
    }
    query.sql += " ORDER BY slot, project_id, canonical_id, alias_id, stamp LIMIT ?";
    let stored = |row: &B::Row| {
        let key = row.key(1, 2)?;
        let (alias, stamp, created) = (row.id(3)?, row.stamp(4)?, row.micros(5)?);
        let inverse = InverseRow { canonical: key.clone(), alias, stamp, created };
        Ok::<_, sqlx::Error>(Stored { filed_slot: row.u16(0)?, key, row: inverse })
    };
    let rows = connection.fetch(query.int(limit)).await?;
    Ok((now, rows.iter().map(stored).collect::<Result<_, _>>()?))
}
