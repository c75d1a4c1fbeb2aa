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
        for (alias, canonical) in aliases {
            let (alias, canonical) = (key(alias), key(canonical));
            if slots.contains(alias.slot()) {
                forward.push((alias.clone(), canonical.clone()));
            }
            if slots.contains(canonical.slot()) {
                inverse.push((canonical, alias));
            }
        }
        let mut connection = server.connect().await;
        let sql = format!("USE {name}; SET unique_checks = 0");
        connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.expect("a database");
        let seq = forward.len().max(1);
        let row = |n: usize, canonical: &Key| format!("{},{n},{n},0,0", text(canonical));
        filled += insert(&mut connection, "alias", forward, row).await;
        insert(&mut connection, "canonical", inverse, |n, alias| format!("{},{n},0", text(alias)))
            .await;
        let log = format!(
            "INSERT INTO alias_change VALUES ({seq}, 1, 0, 1, 'x', NULL, 'y', 0);
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
    mut rows: Vec<(Key, Key)>,
    rest: impl Fn(usize, &Key) -> String,
) -> usize {
    rows.sort_unstable();
    for (chunk, first) in rows.chunks(ROWS).zip((1..).step_by(ROWS)) {
        let mut sql = format!("INSERT INTO {table} VALUES ");
        for ((key, other), number) in chunk.iter().zip(first..) {
            let comma = if number == first { "" } else { "," };
            let (slot, id, rest) = (key.slot().get(), text(key), rest(number, other));
            write!(sql, "{comma}({slot},{PROJECT},{id},{rest})").expect("a string");
        }
        connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.expect("rows");
    }
    rows.len()
}
