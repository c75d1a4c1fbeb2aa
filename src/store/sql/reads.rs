//! Statements of the read path and of the feed. Each read is one statement, and so one snapshot.

use super::backend::Backend;
use super::claim::ClaimColumns;
use super::meta;
use super::query::{ALIAS_KEY, CANONICAL_KEY, Query, ROWS, padded};
use super::row::SqlRow;
use aka_core::domain::{Change, ForwardRow, Id, InverseRow, Key, Loaded, LogPage, Position, Stamp};

/// What one key adds to a prepared statement, at most: its placeholders in the text, or its values
/// with their types.
const KEY_BYTES: usize = 300;

/// The text of the statements below, without their keys, at most.
const TEXT_BYTES: usize = 1_200;

/// How many keys one statement of at most `longest` bytes may hold. It is a power of two, to which
/// [`padded`] adds nothing.
pub(super) fn most_keys(longest: usize) -> usize {
    let most = longest.saturating_sub(TEXT_BYTES) / KEY_BYTES;
    // The greatest power of two that is not above it.
    most.checked_ilog2().map_or(1, |bits| 1 << bits)
}

/// Forward rows and the clock. The row that has no id is the clock's.
pub(super) async fn load<B: Backend>(
    connection: &mut B,
    keys: &[Key],
    ClaimColumns { beat, flags, .. }: &ClaimColumns,
) -> Result<Loaded, sqlx::Error> {
    let now = B::NOW_US;
    let clock = format!(
        "SELECT seq AS a, nonce AS b, {now} AS c, NULL AS id, NULL AS canonical, {beat} AS e,
            {flags} AS f
         FROM shard_meta WHERE id = 1"
    );
    let mut query = Query::new(clock);
    if !keys.is_empty() {
        let keys_in = B::rows_in(&ALIAS_KEY, padded(keys).count());
        query.sql += &format!(
            " UNION ALL
             SELECT project_id, version, stamp, alias_id, canonical_id, create_time_us, update_time_us
             FROM alias WHERE {keys_in}"
        );
        query = query.padded_keys(keys);
    }
    let mut loaded = None::<Loaded>;
    let mut found = Vec::new();
    for row in connection.fetch(query).await? {
        if row.opt_bytes(3)?.is_none() {
            let at = Position { seq: row.u64(0)?, nonce: row.u64(1)? };
            let claim = ClaimColumns::read(&row, 5, 6)?;
            loaded = Some(Loaded { at, now: row.micros(2)?, claim, ..Loaded::default() });
        } else {
            found.push((row.key(0, 3)?, forward_row(&row)?));
        }
    }
    let mut loaded = loaded.ok_or(sqlx::Error::RowNotFound)?;
    loaded.rows.extend(found);
    Ok(loaded)
}

/// A forward row from columns 1, 2 and 4 to 6.
pub(super) fn forward_row(row: &impl SqlRow) -> Result<ForwardRow, sqlx::Error> {
    Ok(ForwardRow {
        canonical: row.id(4)?,
        version: row.u64(1)?,
        stamp: row.stamp(2)?,
        created: row.micros(5)?,
        updated: row.micros(6)?,
    })
}

pub(super) async fn inverse_rows<B: Backend>(
    connection: &mut B,
    canonical: &Key,
    after: Option<(&Id, Stamp)>,
    limit: u32,
) -> Result<Vec<InverseRow>, sqlx::Error> {
    let mut query = Query::new(
        "SELECT alias_id, stamp, create_time_us FROM canonical
         WHERE slot = ? AND project_id = ? AND canonical_id = ?",
    )
    .key(canonical);
    if let Some((alias, stamp)) = after {
        query.sql += " AND (alias_id > ? OR (alias_id = ? AND stamp > ?))";
        query = query.bytes(alias.as_bytes()).bytes(alias.as_bytes()).int(stamp.0);
    }
    query.sql += " ORDER BY alias_id, stamp LIMIT ?";
    let rows = connection.fetch(query.int(limit)).await?;
    let row = |row: &B::Row| {
        Ok(InverseRow {
            canonical: canonical.clone(),
            alias: row.id(0)?,
            stamp: row.stamp(1)?,
            created: row.micros(2)?,
        })
    };
    rows.iter().map(row).collect()
}

pub(super) async fn pins_of<B: Backend>(
    connection: &mut B,
    canonicals: &[Key],
    longest: usize,
) -> Result<Vec<InverseRow>, sqlx::Error> {
    let mut found = Vec::new();
    for keys in canonicals.chunks(ROWS.min(most_keys(longest))) {
        let keys_in = B::rows_in(&CANONICAL_KEY, padded(keys).count());
        let query = Query::new(format!(
            "SELECT project_id, canonical_id, alias_id, stamp, create_time_us FROM canonical
             WHERE {keys_in}"
        ));
        for row in connection.fetch(query.padded_keys(keys)).await? {
            found.push(InverseRow {
                canonical: row.key(0, 1)?,
                alias: row.id(2)?,
                stamp: row.stamp(3)?,
                created: row.micros(4)?,
            });
        }
    }
    Ok(found)
}

/// Changes from the cursor on, the clock and the identity. The row that has no id is the clock's.
pub(super) async fn read_log<B: Backend>(
    connection: &mut B,
    cursor: u64,
    limit: u32,
    ClaimColumns { beat, flags, .. }: &ClaimColumns,
    compatible: &str,
) -> Result<LogPage, sqlx::Error> {
    let now = B::NOW_US;
    let query = Query::new(format!(
        "SELECT seq AS a, nonce AS b, {now} AS c, NULL AS id, NULL AS old_id, NULL AS new_id,
            {beat} AS p, cluster_id AS i1, shard_id AS i2, shard_count AS i3, slots AS i4,
            schema_version AS i5, {compatible} AS i6, {flags} AS f
         FROM shard_meta WHERE id = 1
         UNION ALL
         SELECT seq, nonce, change_time_us, alias_id, old_canonical_id, new_canonical_id,
            project_id, 0, 0, 0, NULL, 0, 0, 0
         FROM (SELECT seq, nonce, change_time_us, alias_id, old_canonical_id, new_canonical_id,
                  project_id
               FROM alias_change WHERE seq >= ? ORDER BY seq LIMIT ?) AS changes"
    ));
    let mut clock = None;
    let mut changes = Vec::new();
    for row in connection.fetch(query.int(cursor).int(limit)).await? {
        let at = Position { seq: row.u64(0)?, nonce: row.u64(1)? };
        let time = row.micros(2)?;
        if row.opt_bytes(3)?.is_none() {
            clock = Some((at, time, meta::identity(&row, 7)?, ClaimColumns::read(&row, 6, 13)?));
        } else {
            let (old, new) = (row.opt_id(4)?, row.opt_id(5)?);
            changes.push(Change { at, alias: row.key(6, 3)?, old, new, time });
        }
    }
    changes.sort_unstable_by_key(|change| change.at.seq);
    let (at, now, identity, claim) = clock.ok_or(sqlx::Error::RowNotFound)?;
    Ok(LogPage { identity, at, now, claim, changes })
}
