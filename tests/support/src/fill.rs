//! Fills shards with many aliases, past aka, for benchmarks.

use crate::db_server::DbServer;
use crate::instance::PROJECT;
use aka_core::domain::{Id, Key, Project, SlotSet};
use sqlx::{AssertSqlSafe, Executor};
use std::fmt::Write;

/// Rows in one INSERT statement.
const ROWS: usize = 5_000;

/// Writes aliases and their canonical ids, of [`PROJECT`], as if they had been created long ago. So
/// only the newest line of the change log is there. The shards are empty databases with aka's tables,
/// by server and name. Returns how many aliases there are.
pub async fn fill_shards(shards: &[(&DbServer, &str)], aliases: &[(String, String)]) -> usize {
    let mut filled = 0;
    let project = Project::new(PROJECT).expect("a project");
    let key = |id: &str| Key::new(project, Id::try_from(id).expect("an id"));
    for (shard, (server, name)) in (0..).zip(shards) {
        let slots = SlotSet::even_share(shard, shards.len() as u16);
        let mut forward = Vec::new();
        let mut inverse = Vec::new();
        // The two rows of an alias have the same stamp. The sweeper would remove an inverse row
        // that has another one.
        for ((alias, canonical), stamp) in aliases.iter().zip(1_u64..) {
            let (alias, canonical) = (key(alias), key(canonical));
            if slots.contains(alias.slot()) {
                forward.push((alias.clone(), canonical.clone(), stamp));
            }
            if slots.contains(canonical.slot()) {
                inverse.push((canonical, alias, stamp));
            }
        }
        let mut connection = server.connect().await;
        let sql = format!("USE {name}; SET unique_checks = 0");
        connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.expect("a database");
        let seq = forward.len().max(1);
        let row = |canonical: &Key, stamp: u64| format!("{},1,{stamp},0,0", text(canonical));
        filled += insert(&mut connection, "alias", forward, row).await;
        let row = |alias: &Key, stamp: u64| format!("{},{stamp},0", text(alias));
        insert(&mut connection, "canonical", inverse, row).await;
        let log = format!(
            "INSERT INTO alias_change (seq, nonce, slot, project_id, alias_id, old_canonical_id,
                 new_canonical_id, change_time_us)
             VALUES ({seq}, 1, 0, 1, 'x', NULL, 'y', 0);
             UPDATE shard_meta SET seq = {seq}, nonce = 1"
        );
        connection.execute(sqlx::raw_sql(AssertSqlSafe(log))).await.expect("a log");
    }
    filled
}

fn text(key: &Key) -> String {
    format!("'{}'", String::from_utf8_lossy(key.id().as_bytes()))
}

async fn insert(
    connection: &mut sqlx::MySqlConnection,
    table: &str,
    mut rows: Vec<(Key, Key, u64)>,
    rest: impl Fn(&Key, u64) -> String,
) -> usize {
    rows.sort_unstable();
    for chunk in rows.chunks(ROWS) {
        let mut sql = format!("INSERT INTO {table} VALUES ");
        for (number, (key, other, stamp)) in chunk.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            let (slot, id, rest) = (key.slot().get(), text(key), rest(other, *stamp));
            write!(sql, "{comma}({slot},{PROJECT},{id},{rest})").expect("a string");
        }
        connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.expect("rows");
    }
    rows.len()
}
