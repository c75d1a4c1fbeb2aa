//! `aka migrate` leaves tables alone that are not aka's.

use aka_test_support::{Engine, aka, aka_serve, shared_server};
use sqlx::mysql::MySqlConnection;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection};

/// Tables of another program, each with a name that aka uses.
const TABLES: [(&str, &str); 7] = [
    ("alias", "CREATE TABLE alias (id INT, name VARCHAR(20))"),
    // The names fit, but text folds case and pads.
    (
        "alias",
        "CREATE TABLE alias (slot INT, project_id INT, alias_id VARCHAR(255), canonical_id \
         VARCHAR(255), version INT, stamp INT, create_time_us INT, update_time_us INT)",
    ),
    ("canonical", "CREATE TABLE canonical (slot INT, project_id INT)"),
    ("alias_change", "CREATE TABLE alias_change (seq INT)"),
    ("shard_meta", "CREATE TABLE shard_meta (id INT, host VARCHAR(20))"),
    ("_sqlx_migrations", "CREATE TABLE _sqlx_migrations (id INT)"),
    (
        "_sqlx_migrations",
        "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL,
            installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL,
            checksum BLOB NOT NULL, execution_time BIGINT NOT NULL);
         INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
            VALUES (20240101, 'users', TRUE, x'00', 1)",
    ),
];

#[tokio::test]
async fn mysql_and_mariadb() {
    for engine in Engine::ALL {
        let server = tokio::task::spawn_blocking(move || shared_server(engine)).await;
        let server = server.expect("the shared server starts");
        for (table, sql) in TABLES {
            let [own, other] = [server.create_database().await, server.create_database().await];
            let urls = [server.url(&own), server.url(&other)];
            let mut connection = MySqlConnection::connect(&urls[1]).await.expect("it is there");
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.expect(sql);
            let run = aka(["migrate", "--shard", &urls[0], "--shard", &urls[1]]).run().await;
            run.failed(64, &[&format!("`{table}`"), &other, "not aka's"]);
            // Nothing was changed, in the other database neither.
            let count = |name: &str| {
                format!(
                    "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = '{name}'"
                )
            };
            for (name, tables) in [(&own, 0), (&other, 1)] {
                let found: i64 = sqlx::query_scalar(AssertSqlSafe(count(name)))
                    .fetch_one(&mut connection)
                    .await
                    .expect("a number");
                assert_eq!(found, tables, "{engine}: {name} after {sql}");
            }
        }
    }
}

#[tokio::test]
async fn sqlite() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    for (number, (table, sql)) in TABLES.into_iter().enumerate() {
        let path = folder.path().join(format!("{number}.db")).display().to_string();
        let url = format!("sqlite://{path}?mode=rwc");
        let mut connection = SqliteConnection::connect(&url).await.expect("it can be made");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.expect(sql);
        let said = [&format!("`{table}`"), path.as_str(), "not aka's"];
        aka(["migrate", "--sqlite", &path]).run().await.failed(64, &said);
        aka_serve(["--sqlite", &path]).run().await.failed(64, &said);
        let tables: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM sqlite_master WHERE type = 'table'")
                .fetch_one(&mut connection)
                .await
                .expect("a number");
        assert_eq!(tables, 1, "after {sql}");
    }
}

/// `aka serve` does not migrate shards, and still sees a table that is not aka's.
#[tokio::test]
async fn a_table_that_was_replaced() {
    for engine in Engine::ALL {
        let server = tokio::task::spawn_blocking(move || shared_server(engine)).await;
        let server = server.expect("the shared server starts");
        let name = server.create_database().await;
        let url = server.url(&name);
        aka(["migrate", "--shard", &url]).run().await.succeeded();
        server
            .execute(&format!(
                "DROP TABLE {name}.canonical; CREATE TABLE {name}.canonical (id INT)"
            ))
            .await;
        aka_serve(["--shard", &url]).run().await.failed(64, &["`canonical`", &name, "not aka's"]);
    }
}
