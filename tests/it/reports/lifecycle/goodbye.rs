//! Connections to the databases are closed in order: no server counts one as aborted.

use super::own_server;
use aka_test_support::{Aka, Database, DbServer, Engine, PROJECT, aka, aka_serve, eventually};
use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Row};
use std::collections::BTreeSet;

/// Its own connection to the server, to look at the others.
struct Watcher(MySqlConnection);

impl Watcher {
    /// How many connections the server says were aborted.
    async fn aborted(&mut self) -> u64 {
        let show = sqlx::raw_sql("SHOW GLOBAL STATUS LIKE 'Aborted_clients'");
        let row = show.fetch_one(&mut self.0).await.expect("a row");
        row.try_get_unchecked::<String, _>(1).expect("a text").parse().expect("a number")
    }

    /// All connections but its own.
    async fn others(&mut self) -> BTreeSet<i64> {
        let list = "SELECT CAST(id AS SIGNED) FROM information_schema.processlist \
            WHERE id <> CONNECTION_ID() AND user = 'root'";
        let list = sqlx::raw_sql(AssertSqlSafe(list)).fetch_all(&mut self.0).await;
        let id = |row: &sqlx::mysql::MySqlRow| row.try_get_unchecked::<i64, _>(0).expect("an id");
        list.expect("a list").iter().map(id).collect()
    }

    async fn nobody_is_connected(&mut self) {
        eventually("no connection is left", async || self.others().await.is_empty().then_some(()))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_mysql() {
    connections_are_closed_in_order(&own_server(Engine::MySql).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_mariadb() {
    connections_are_closed_in_order(&own_server(Engine::MariaDb).await).await;
}

async fn connections_are_closed_in_order(server: &DbServer) {
    let mut watcher = Watcher(server.connect().await);
    watcher.nobody_is_connected().await;
    let before = watcher.aborted().await;
    let database = Database::on(&[server]).await;
    watcher.nobody_is_connected().await;
    assert_eq!(watcher.aborted().await, before, "after aka migrate");

    let aka = Aka::serve(&database, &[]).await;
    for write in 0..2 {
        let known = watcher.others().await;
        aka.create(PROJECT, format!("alias-{write}"), "alice").await.expect("created");
        let now = watcher.others().await;
        let new: Vec<_> = now.difference(&known).copied().collect();
        assert!(!new.is_empty(), "the writer's connection is new: {known:?}, {now:?}");
        eventually("the idle connection is closed", async || {
            let open = watcher.others().await;
            new.iter().any(|id| !open.contains(id)).then_some(())
        })
        .await;
        assert_eq!(watcher.aborted().await, before, "after a pause");
    }
    // Admin reads and lookups have connections too.
    assert_eq!(aka.list_all(PROJECT, "alice", 10).await.len(), 2);
    aka.resolve(PROJECT, "alias-0").await.expect("resolved");
    let status = aka.stop().await;
    assert_eq!(status.code(), Some(0), "{status}");
    watcher.nobody_is_connected().await;
    assert_eq!(watcher.aborted().await, before, "after a stop");

    commands(server, &database, &mut watcher, before).await;
}

/// The commands that read the databases themselves.
async fn commands(server: &DbServer, database: &Database, watcher: &mut Watcher, before: u64) {
    database.plant_orphan(PROJECT, "dead", "gone", 7200).await;
    let unmigrated = server.url(&server.create_database().await);
    // The test's own connections were aborted.
    watcher.nobody_is_connected().await;
    let before = before.max(watcher.aborted().await);
    for (command, code) in [
        (aka(["export"]).args(database.flags()), 0),
        (aka(["check", "--repair"]).args(database.flags()), 0),
        (aka(["check", "--shard", &unmigrated]), 64),
        (aka_serve(["--shard", &unmigrated]), 64),
    ] {
        let ended = command.run().await;
        assert_eq!(ended.code, Some(code), "{ended}");
        watcher.nobody_is_connected().await;
        assert_eq!(watcher.aborted().await, before, "{ended}");
    }
}
