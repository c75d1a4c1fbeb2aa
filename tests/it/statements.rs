//! The statements that reach a MySQL server are those of a list, and of a small subset of SQL.
//!
//! Shards may be managed databases or others that speak the protocol. Each construct beside the
//! subset is one that some of them refuse. After a change of a statement, set `AKA_WRITE_STATEMENTS=1`
//! once: the test then writes the list anew. Read what has changed.

use aka_test_support::{Aka, Database, DbServer, Engine, PROJECT, aka, create_request, eventually};
use regex::Regex;
use std::collections::BTreeSet;
use std::path::Path;

/// Every word in capitals that a statement may have. All of MySQL, MariaDB, Aurora, Vitess and TiDB
/// know them.
const SUBSET: &str = "
    SELECT FROM WHERE AND OR NOT IN IS NULL AS ON ORDER BY GROUP LIMIT DISTINCT COUNT EXISTS MAX
    UNION ALL LEFT JOIN WITH CASE WHEN THEN ELSE END CAST SIGNED UNSIGNED BINARY CONCAT COALESCE
    INSERT REPLACE INTO VALUES UPDATE SET DELETE FOR
    START TRANSACTION CONSISTENT SNAPSHOT COMMIT ROLLBACK
    SESSION GLOBAL ISOLATION LEVEL READ COMMITTED REPEATABLE NAMES SHOW VARIABLES OFF
    TIMESTAMPDIFF MICROSECOND UTC_TIMESTAMP DATABASE GET_LOCK
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_are_those_of_the_list() {
    let server = tokio::task::spawn_blocking(|| DbServer::start(Engine::MySql)).await;
    let server = server.expect("the server starts");
    let database = Database::on(&[&server]).await;
    server.execute("SET GLOBAL log_output = 'TABLE'; SET GLOBAL general_log = ON").await;
    use_everything(&database).await;
    use_a_group(&server, &database).await;
    server.execute("SET GLOBAL general_log = OFF").await;
    let statements = logged(&server).await;

    let allowed: BTreeSet<&str> = SUBSET.split_whitespace().collect();
    let word = Regex::new(r"\b[A-Z][A-Z_]+\b").expect("a pattern");
    for statement in &statements {
        assert!(!statement.contains("/*"), "a comment decides what is done: {statement}");
        for word in word.find_iter(statement) {
            assert!(allowed.contains(word.as_str()), "{}, in: {statement}", word.as_str());
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/statements.txt");
    let seen = statements.into_iter().collect::<Vec<_>>().join("\n") + "\n";
    if std::env::var_os("AKA_WRITE_STATEMENTS").is_some() {
        std::fs::write(&path, &seen).expect("the list can be written");
    }
    let listed = std::fs::read_to_string(&path).expect("the list can be read");
    assert_eq!(seen, listed, "see the head of this file");
}

/// Does all that a server and the commands do with a shard of one server.
async fn use_everything(database: &Database) {
    let flags = ["--audit-sample", "1", "--sweep-pause-ms", "1"];
    // Lines of the log are removed at once, if they are old.
    let soon = [("AKA_PRUNE_WINDOW_MS", "200")];
    let serving = Aka::serve_with_env(database, &flags, &soon).await;
    serving.create(PROJECT, "bob", "alice").await.expect("created");
    let created = serving.create(PROJECT, "carol", "alice").await.expect("created");
    let version = created.alias.expect("an alias").version;
    let updated = serving.update(PROJECT, "carol", "dora", version).await.expect("updated");
    let batch = (0..3).map(|n| create_request(PROJECT, format!("b-{n}"), "alice")).collect();
    serving.create_all(batch).await.expect("created");
    serving.get(PROJECT, "bob").await.expect("read");
    assert_eq!(serving.list_all(PROJECT, "alice", 2).await.len(), 4);
    let version = updated.alias.expect("an alias").version;
    serving.delete(PROJECT, "carol", version).await.expect("deleted");
    serving.batch_resolve(PROJECT, ["bob", "eve", "b-1"]).await.expect("resolved");
    eventually("an answer is audited", async || {
        serving.resolve(PROJECT, "bob").await.expect("resolved");
        (serving.metric("aka_audit_checked_total", &[]).await > 0.0).then_some(())
    })
    .await;
    database.plant_orphan(PROJECT, "zoe", "yan", 7_200).await;
    eventually("the orphan is swept", async || {
        (serving.metric("aka_orphans_removed_total", &[]).await > 0.0).then_some(())
    })
    .await;
    let old = "UPDATE alias_change SET change_time_us = change_time_us - 172800000000, seq = seq";
    database.connect(0).await.execute(old).await;
    eventually("old lines are pruned", async || {
        (serving.metric("aka_log_pruned_total", &[]).await > 0.0).then_some(())
    })
    .await;
    aka(["export"]).args(database.flags()).run().await.succeeded();
    aka(["check"]).args(database.flags()).run().await.succeeded();
}

/// A group has beats. Its two servers are one here, by two names.
async fn use_a_group(server: &DbServer, database: &Database) {
    let (port, name) = (server.port(), &database.names()[0]);
    let url = format!("mysql://root@127.0.0.1:{port},localhost:{port}/{name}");
    let database = Database::at(vec![url]);
    let serving = Aka::serve(&database, &[]).await;
    serving.create(PROJECT, "fay", "alice").await.expect("created");
    // The filter does not answer for an alias, so this is looked up.
    serving.resolve(PROJECT, "fay").await.expect("resolved");
    eventually("both servers are looked at", async || {
        (serving.metric("aka_shard_primaries", &[]).await >= 2.0).then_some(())
    })
    .await;
}

/// The statements of the general log, without their values.
async fn logged(server: &DbServer) -> BTreeSet<String> {
    let mut connection = server.connect().await;
    let rows: Vec<String> = sqlx::query_scalar(
        "SELECT CAST(argument AS CHAR) FROM mysql.general_log \
         WHERE command_type IN ('Query', 'Prepare')",
    )
    .fetch_all(&mut connection)
    .await
    .expect("the log can be read");
    // What the test itself has sent.
    let own = ["general_log", "PIPES_AS_CONCAT", "seq = seq"];
    let statements = rows.iter().flat_map(|row| row.split(';'));
    let statements = statements.filter(|text| own.iter().all(|own| !text.contains(own)));
    statements.map(shape).filter(|text| !text.is_empty()).collect()
}

/// A statement without its values, and with the first row of each list alone.
fn shape(statement: &str) -> String {
    let mut text = statement.trim().to_owned();
    for (pattern, with) in [
        (r"\s+", " "),
        (r"x'[0-9a-f]*'", "?"),
        (r"NULL,", "?,"),
        (r",NULL\)", ",?)"),
        (r"\b\d+\b", "?"),
        (r", \?", ",?"),
        (r"\), \(", "),("),
        (r"\(\?(,\?)+\)(,\(\?(,\?)+\))*", "(?,…),…"),
        (r"SELECT \?(,\?)+( UNION ALL SELECT \?(,\?)+)*", "SELECT ?,… …"),
    ] {
        text = Regex::new(pattern).expect("a pattern").replace_all(&text, with).into_owned();
    }
    text
}
