//! Databases that do not fit the configuration are refused, so that no wrong shard is ever asked
//! (rule 9).

use aka_test_support::{
    Aka, Backend, Database, DbServer, Ended, Engine, PROJECT, Raw, aka, aka_serve, shared_server,
    start,
};
use std::net::TcpListener;

/// The URLs of the shards, in shard order.
pub(super) fn urls(database: &Database) -> Vec<String> {
    database.flags().into_iter().skip(1).step_by(2).collect()
}

/// The flags that name these shards.
pub(super) fn shard_flags<S: AsRef<str>>(urls: &[S]) -> Vec<&str> {
    urls.iter().flat_map(|url| ["--shard", url.as_ref()]).collect()
}

pub(super) async fn shared(engine: Engine) -> &'static DbServer {
    let server = tokio::task::spawn_blocking(move || shared_server(engine)).await;
    server.expect("the shared server starts")
}

/// The URLs of this number of new databases, which belong to no cluster yet.
pub(super) async fn blank(server: &DbServer, count: usize) -> Vec<String> {
    let mut urls = Vec::new();
    for _ in 0..count {
        urls.push(server.url(&server.create_database().await));
    }
    urls
}

async fn serve<S: AsRef<str>>(urls: &[S]) -> Ended {
    aka_serve(shard_flags(urls)).args(["--start-timeout-s", "1"]).run().await
}

async fn check<S: AsRef<str>>(urls: &[S]) -> Ended {
    aka(["check"]).args(shard_flags(urls)).run().await
}

on_backends!(an_unmigrated_shard_is_refused: mysql_3 mariadb_3);

async fn an_unmigrated_shard_is_refused(backend: Backend) {
    let Backend::Shards(engine, count) = backend else { unreachable!("named above") };
    let fresh = blank(shared(engine).await, count).await;
    let said = ["no aka tables", "run `aka migrate` with the same shards first"];
    serve(&fresh).await.failed(64, &said);
    check(&fresh).await.failed(64, &said);

    // One shard that is not migrated is enough, and the message names it.
    let mut shards = urls(&Database::create(backend).await);
    shards[1].clone_from(&fresh[1]);
    serve(&shards).await.failed(64, &[&fresh[1], said[1]]);
    check(&shards).await.failed(64, &[&fresh[1], said[1]]);
}

on_backends!(a_wrong_list_of_shards_is_refused: mysql_3 mariadb_3);

async fn a_wrong_list_of_shards_is_refused(backend: Backend) {
    let cluster = urls(&Database::create(backend).await);
    let other = urls(&Database::create(backend).await);
    let [first, second, third] = &cluster[..] else { unreachable!("three shards") };
    for (named, parts) in [
        (vec![second, first, third], vec![second.as_str(), "is shard 1", "in shard order"]),
        (vec![first, third, second], vec![third.as_str(), "is shard 2", "in shard order"]),
        (vec![first, second], vec!["of 3 shards", "2 are named", "name all of them"]),
        (vec![third], vec![third.as_str(), "of 3 shards", "1 are named"]),
        (vec![first, second, third, &other[0]], vec!["of 3 shards", "4 are named"]),
        (vec![first, &other[1], third], vec![other[1].as_str(), "the shards of one cluster"]),
    ] {
        serve(&named).await.failed(64, &parts);
        check(&named).await.failed(64, &parts);
    }
    // The shards themselves are in order.
    let clean = check(&cluster).await.succeeded();
    assert!(clean.contains("no problems"), "{clean}");
}

on_backends!(wrong_owners_of_slots_are_refused: mysql_3);

async fn wrong_owners_of_slots_are_refused(backend: Backend) {
    let database = Database::create(backend).await;
    let shards = urls(&database);
    let mut second = database.connect(1).await;
    for (slots, parts) in [
        ("1365-2728", ["no shard owns slot 2729", "shard_meta.slots"]),
        ("1366-2729", ["no shard owns slot 1365", "shard_meta.slots"]),
        ("", ["no shard owns slot 1365", "shard_meta.slots"]),
        ("1364-2729", ["slot 1364 is owned by shard 0 and by shard 1", "shard_meta.slots"]),
        ("1365-2730", ["slot 2730 is owned by shard 1 and by shard 2", "shard_meta.slots"]),
    ] {
        second.execute(&format!("UPDATE shard_meta SET slots = '{slots}'")).await;
        serve(&shards).await.failed(64, &parts);
        check(&shards).await.failed(64, &parts[..1]);
    }
    second.execute("UPDATE shard_meta SET slots = '1365-2729'").await;
    check(&shards).await.succeeded();
}

on_backends!(slots_that_cannot_be_read_are_refused: mysql_3);

async fn slots_that_cannot_be_read_are_refused(backend: Backend) {
    let database = Database::create(backend).await;
    let shards = urls(&database);
    database.connect(1).await.execute("UPDATE shard_meta SET slots = '1365-x'").await;
    serve(&shards).await.failed(64, &[&shards[1], "1365-x"]);
    check(&shards).await.failed(64, &[&shards[1], "1365-x"]);
}

on_backends!(tables_of_another_version_are_refused: sqlite mysql_3);

async fn tables_of_another_version_are_refused(backend: Backend) {
    let database = Database::create(backend).await;
    aka(["migrate"]).args(database.flags()).run().await.succeeded();
    let last = database.shards() - 1;
    let mut shard = database.connect(last).await;
    for (version, says) in [(0, "run `aka migrate`"), (4, "run a newer aka")] {
        set_versions(&mut shard, version, version).await;
        let tables = format!("tables of version {version}");
        aka_serve(database.flags()).run().await.failed(64, &[&tables, says]);
        aka(["check"]).args(database.flags()).run().await.failed(64, &[&tables, says]);
    }
    // An older aka must not change the tables of a newer one, not even if it may use them.
    for compatible in [3, 4] {
        set_versions(&mut shard, 4, compatible).await;
        let before = database.tables().await;
        aka(["migrate"]).args(database.flags()).run().await.failed(64, &["run a newer aka"]);
        assert_eq!(database.tables().await, before);
    }
    set_versions(&mut shard, 3, 3).await;
    aka(["check"]).args(database.flags()).run().await.succeeded();
}

async fn set_versions(shard: &mut Raw, tables: u32, compatible: u32) {
    let update = format!(
        "UPDATE shard_meta SET schema_version = {tables}, min_compatible_version = {compatible}"
    );
    shard.execute(&update).await;
}

on_backends!(tables_of_a_newer_version_are_used_if_they_allow_it: sqlite mysql_1 mariadb_1);

async fn tables_of_a_newer_version_are_used_if_they_allow_it(backend: Backend) {
    let (database, aka) = start(backend).await;
    let mut shard = database.connect(0).await;
    aka.create(PROJECT, "bob", "alice").await.expect("created");
    for number in 0..300 {
        if number == 100 {
            // A newer aka has expanded the tables, while this one runs.
            set_versions(&mut shard, 4, 3).await;
        }
        let alias = format!("bob-{number}");
        aka.create(PROJECT, &alias, "alice").await.expect("writes go on");
        assert_eq!(aka.resolve(PROJECT, &alias).await.expect("reads go on").canonical_id, "alice");
    }
    assert_eq!(aka.metric("aka_feed_epochs_total", &[]).await, 0.0, "nothing was forgotten");
    aka.stop().await;
    if matches!(backend, Backend::Sqlite) {
        // Its tables are migrated at each start.
        aka_serve(database.flags()).run().await.failed(64, &["run a newer aka"]);
        return;
    }
    let newer = Aka::serve(&database, &[]).await;
    assert_eq!(newer.resolve(PROJECT, "bob").await.expect("resolved").canonical_id, "alice");
}

#[tokio::test]
async fn a_database_that_cannot_be_reached_is_exit_code_69() {
    // Nothing listens on port 1.
    let gone = ["mysql://aka@127.0.0.1:1/aka"];
    serve(&gone).await.failed(69, &[gone[0]]);
    check(&gone).await.failed(69, &[gone[0]]);
    aka(["migrate"]).args(shard_flags(&gone)).run().await.failed(69, &[gone[0]]);
    let no_such = [shared(Engine::MariaDb).await.url("no_such_database")];
    serve(&no_such).await.failed(69, &[&no_such[0], "no_such_database"]);
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let missing = folder.path().join("missing.db").display().to_string();
    aka(["check", "--sqlite", &missing]).run().await.failed(69, &[&missing]);
    assert!(!folder.path().join("missing.db").exists(), "a check makes no file");
}

/// A database that accepts connections and never sends a byte.
struct Silent(TcpListener);

impl Silent {
    fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").expect("a free port"))
    }

    fn url(&self) -> String {
        format!("mysql://aka@{}/aka", self.0.local_addr().expect("it is bound"))
    }
}

#[tokio::test]
async fn a_database_that_never_answers_holds_up_no_start() {
    let silent = Silent::new();
    serve(&[silent.url()]).await.failed(69, &[&silent.url()]);
}

#[tokio::test]
async fn a_database_that_never_answers_holds_up_no_migration() {
    let silent = Silent::new();
    let url = silent.url();
    aka(["migrate", "--shard", &url]).run().await.failed(69, &[&url]);
}

#[tokio::test]
async fn a_database_that_never_answers_holds_up_no_check() {
    let silent = Silent::new();
    check(&[silent.url()]).await.failed(69, &[&silent.url()]);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_kept() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("letter.txt");
    std::fs::write(&path, "Dear reader,\n".repeat(100)).expect("it can be written");
    let shown = path.display().to_string();
    let ended = aka_serve(["--sqlite", &shown]).run().await;
    ended.failed(69, &[&shown, "not a database"]);
    let kept = std::fs::read_to_string(&path).expect("it is there");
    assert_eq!(kept, "Dear reader,\n".repeat(100));
}

#[tokio::test]
async fn with_nothing_configured_a_file_in_the_data_folder_is_served() {
    let home = tempfile::tempdir().expect("a temporary folder can be made");
    let file = home.path().join(".local/share/aka/aka.db");
    let serving = aka_serve([""; 0]).env("HOME", home.path()).serve().await;
    assert!(file.is_file(), "{} is not there", file.display());
    let ended = serving.stop().await;
    assert_eq!(ended.code, Some(0), "{ended}");
    // Nor can it be made where there is no such folder.
    aka_serve([""; 0]).run().await.failed(64, &["/dev/null", "cannot make the folder"]);
}
