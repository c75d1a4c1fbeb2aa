//! `aka migrate`: a second run changes nothing, a run after an interruption finishes the work, and a
//! run with a wrong list of shards changes nothing.

use super::databases::{blank, shard_flags, shared, urls};
use aka_test_support::{Aka, Backend, Database, Ended, Engine, PROJECT, aka, check_is_clean};
use sqlx::Connection;
use sqlx::mysql::MySqlConnection;

async fn migrate<S: AsRef<str>>(urls: &[S]) -> Ended {
    aka(["migrate"]).args(shard_flags(urls)).run().await
}

/// All that a migration may change of a shard: its tables with the times when they were made, the
/// steps that were applied, and `shard_meta`.
#[derive(Debug, PartialEq)]
struct Made {
    tables: Vec<(String, String)>,
    steps: Vec<(i64, String)>,
    meta: Vec<Meta>,
}

#[derive(Debug, PartialEq, sqlx::FromRow)]
struct Meta {
    cluster_id: i64,
    shard_id: i64,
    shard_count: i64,
    slots: Vec<u8>,
    schema_version: i64,
    seq: i64,
    nonce: i64,
}

async fn made(urls: &[String]) -> Vec<Made> {
    let mut all = Vec::new();
    for url in urls {
        let mut connection = MySqlConnection::connect(url).await.expect("the shard can be reached");
        // The tables, and when each was made or altered.
        let tables: Vec<(String, String)> = sqlx::query_as(
            "SELECT CAST(table_name AS CHAR), CAST(create_time AS CHAR) \
             FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY 1",
        )
        .fetch_all(&mut connection)
        .await
        .expect("the tables can be listed");
        let (mut steps, mut meta) = (Vec::new(), Vec::new());
        if !tables.is_empty() {
            let query = "SELECT version, CAST(installed_on AS CHAR) FROM _sqlx_migrations";
            steps = sqlx::query_as(query).fetch_all(&mut connection).await.expect("the steps");
            let query = "SELECT * FROM shard_meta";
            meta = sqlx::query_as(query).fetch_all(&mut connection).await.expect("whose it is");
        }
        all.push(Made { tables, steps, meta });
    }
    all
}

fn slots(made: &[Made]) -> Vec<String> {
    made.iter().map(|made| String::from_utf8_lossy(&made.meta[0].slots).into_owned()).collect()
}

on_backends!(a_second_migration_changes_nothing: mysql_3 mariadb_3);

async fn a_second_migration_changes_nothing(backend: Backend) {
    let Backend::Shards(engine, count) = backend else { unreachable!("named above") };
    let shards = blank(shared(engine).await, count).await;
    let first = migrate(&shards).await.succeeded();
    assert_eq!(first.matches(": created;").count(), 3, "{first}");
    let before = made(&shards).await;
    assert_eq!(slots(&before), ["0-1364", "1365-2729", "2730-4095"]);

    let second = migrate(&shards).await.succeeded();
    assert_eq!(second.matches(": already there;").count(), 3, "{second}");
    assert_eq!(made(&shards).await, before);
}

on_backends!(a_migration_of_a_wrong_list_changes_nothing: mysql_3 mariadb_3);

async fn a_migration_of_a_wrong_list_changes_nothing(backend: Backend) {
    let Backend::Shards(engine, _) = backend else { unreachable!("named above") };
    let mut all = urls(&Database::create(backend).await);
    all.extend(urls(&Database::create(backend).await));
    all.extend(blank(shared(engine).await, 1).await);
    let before = made(&all).await;
    assert!(before[6].tables.is_empty(), "the last one belongs to no cluster");
    for (named, part) in [
        // A wrong order; one too few; one too many; one of another cluster. The blank one (6) is
        // among some of them, and must not be claimed.
        (vec![1, 0, 2], "in shard order"),
        (vec![0, 1], "of 3 shards, but 2 are named"),
        (vec![0, 1, 2, 6], "of 3 shards, but 4 are named"),
        (vec![0, 4, 2], "the shards of one cluster"),
        (vec![0, 4, 6], "the shards of one cluster"),
        (vec![6, 0, 1], "in shard order"),
        (vec![6, 0, 2], "in shard order"),
        (vec![6, 2], "of 3 shards, but 2 are named"),
    ] {
        let named: Vec<_> = named.iter().map(|&number: &usize| &all[number]).collect();
        migrate(&named).await.failed(64, &[part]);
    }
    assert_eq!(made(&all).await, before);
}

on_backends!(an_interrupted_migration_is_finished: mysql_3 mariadb_3);

async fn an_interrupted_migration_is_finished(backend: Backend) {
    let shards = urls(&Database::create(backend).await);
    let before = made(&shards).await;
    let mut last = MySqlConnection::connect(&shards[2]).await.expect("the shard can be reached");
    for remainder in [
        // The migration died before the last shard, after its first table, and before `shard_meta`
        // was written.
        "DROP TABLE alias, canonical, alias_change, shard_meta, _sqlx_migrations",
        "DROP TABLE canonical, alias_change, shard_meta, _sqlx_migrations",
        "DELETE FROM shard_meta",
    ] {
        sqlx::raw_sql(remainder).execute(&mut last).await.expect("it can be done");
        aka(["check"]).args(shard_flags(&shards)).run().await.failed(64, &["run `aka migrate`"]);

        let said = migrate(&shards).await.succeeded();
        assert_eq!(said.matches(": created;").count(), 1, "{said}");
        assert!(said.lines().last().is_some_and(|line| line.contains(": created;")), "{said}");
        let after = made(&shards).await;
        assert_eq!(after[..2], before[..2], "the others are as they were");
        let (is, was) = (&after[2].meta[0], &before[2].meta[0]);
        assert_eq!((is.cluster_id, is.shard_id), (was.cluster_id, was.shard_id));
        assert_eq!(slots(&after), slots(&before));
        // The new shard has another history, so its nonce must be another one.
        assert_ne!(is.nonce, was.nonce);
        let clean = aka(["check"]).args(shard_flags(&shards)).run().await.succeeded();
        assert!(clean.contains("no problems"), "{clean}");
    }
}

on_backends!(two_migrations_at_once_make_one_cluster: mysql_3 mariadb_3);

async fn two_migrations_at_once_make_one_cluster(backend: Backend) {
    let Backend::Shards(engine, count) = backend else { unreachable!("named above") };
    let shards = blank(shared(engine).await, count).await;
    let (one, other) = tokio::join!(migrate(&shards), migrate(&shards));
    let said = one.succeeded() + &other.succeeded();
    assert_eq!(said.matches(": created;").count() + said.matches(": already there;").count(), 6);
    let clean = aka(["check"]).args(shard_flags(&shards)).run().await.succeeded();
    assert!(clean.contains("no problems"), "{clean}");
}

on_backends!(tables_of_version_1_are_upgraded_under_a_running_instance: mysql_1 mariadb_1);

async fn tables_of_version_1_are_upgraded_under_a_running_instance(backend: Backend) {
    let database = Database::create(backend).await;
    let mut shard = database.connect(0).await;
    for undone in [
        "ALTER TABLE alias_change DROP COLUMN operation_id, DROP COLUMN principal, DROP COLUMN reason",
        "ALTER TABLE shard_meta DROP COLUMN min_compatible_version",
        "DROP TABLE shard_beat",
        "DELETE FROM _sqlx_migrations WHERE version >= 2",
        "UPDATE shard_meta SET schema_version = 1",
    ] {
        shard.execute(undone).await;
    }
    let serving = Aka::serve(&database, &[]).await;
    for number in 0..200 {
        if number == 100 {
            let said = aka(["migrate"]).args(database.flags()).run().await.succeeded();
            assert!(said.contains("tables of version 3, for aka that knows version 1"), "{said}");
        }
        let alias = format!("bob-{number}");
        serving.create(PROJECT, &alias, "alice").await.expect("writes go on");
        assert_eq!(
            serving.resolve(PROJECT, &alias).await.expect("reads go on").canonical_id,
            "alice"
        );
    }
    // Connections that were opened since know the new columns. An instance that begins now has no others.
    let authors = "SELECT COUNT(*) FROM alias_change WHERE operation_id IS NOT NULL";
    let before = shard.number(authors).await;
    let next = Aka::serve(&database, &[]).await;
    next.create(PROJECT, "carol", "alice").await.expect("created");
    assert_eq!(shard.number(authors).await, before + 1);
    let contract = ["--phase", "contract"];
    let unconfirmed = aka(["migrate"]).args(contract).args(database.flags()).run().await;
    unconfirmed.failed(2, &["--confirm-all-upgraded"]);
    let confirmed = aka(["migrate", "--confirm-all-upgraded"]).args(contract);
    let said = confirmed.args(database.flags()).run().await.succeeded();
    assert!(said.contains("tables of version 3, for aka that knows version 3"), "{said}");
    assert_eq!(serving.resolve(PROJECT, "bob-0").await.expect("resolved").canonical_id, "alice");
    check_is_clean(&database).await;
}

on_backends!(a_contraction_comes_after_an_expansion: mysql_3);

async fn a_contraction_comes_after_an_expansion(backend: Backend) {
    let Backend::Shards(engine, count) = backend else { unreachable!("named above") };
    let shards = blank(shared(engine).await, count).await;
    let contract = aka(["migrate", "--phase", "contract", "--confirm-all-upgraded"]);
    contract.args(shard_flags(&shards)).run().await.failed(64, &["--phase expand"]);
    assert!(made(&shards).await.iter().all(|made| made.tables.is_empty()), "nothing was made");
    let all = aka(["migrate", "--phase", "all", "--confirm-all-upgraded"]);
    all.args(shard_flags(&shards)).run().await.succeeded();
}

#[tokio::test]
async fn an_unreachable_shard_keeps_the_others_as_they_are() {
    let mut shards = blank(shared(Engine::MariaDb).await, 2).await;
    shards.push("mysql://aka@127.0.0.1:1/aka".to_owned());
    migrate(&shards).await.failed(69, &[&shards[2]]);
    assert!(made(&shards[..2]).await.iter().all(|made| made.tables.is_empty()));
}
