//! `aka check`: each planted fault is reported, and only safe repairs are made.

use aka_test_support::{
    Aka, Backend, Database, Ended, InverseRow, PROJECT, Tables, aka, hex_literal, slot_of, start,
};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

const HOUR_S: u64 = 3_600;

async fn check(database: &Database, flags: &[&str]) -> Ended {
    aka(["check"]).args(database.flags()).args(flags).run().await
}

/// A store with some aliases, and no server whose sweeper would remove the planted faults.
async fn store(backend: Backend) -> (Database, Aka) {
    let (database, aka) = start(backend).await;
    for (alias, canonical) in [("a1", "p1"), ("a2", "p1"), ("a3", "p2"), ("a4", "p3")] {
        aka.create(PROJECT, alias, canonical).await.expect("created");
    }
    // Three changes on one shard, for a gap between the first and the last.
    for id in database.ids_on(0, PROJECT, "zero", 3) {
        aka.create(PROJECT, id, "p3").await.expect("created");
    }
    aka.delete(PROJECT, "a4", 0).await.expect("deleted");
    aka.kill();
    (database, aka)
}

/// The times of all rows that are written here.
fn now_us() -> i64 {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or(Duration::ZERO);
    i64::try_from(now.as_micros()).expect("before the year 294,000")
}

/// Writes a forward row past the service; its version is one that every clock has reached.
async fn plant_alias(database: &Database, shard: usize, slot: i64, alias: &str, canonical: &str) {
    let now = now_us();
    let sql = format!(
        "INSERT INTO alias VALUES \
         ({slot}, {PROJECT}, {}, {}, 0, 77, {now}, {now})",
        hex_literal(alias),
        hex_literal(canonical),
    );
    database.connect(shard).await.execute(&sql).await;
}

/// Writes its inverse row.
async fn plant_pin(database: &Database, alias: &str, canonical: &str) {
    let (slot, now) = (slot_of(PROJECT, canonical.as_bytes()), now_us());
    let sql = format!(
        "INSERT INTO canonical VALUES ({slot}, {PROJECT}, {}, {}, 77, {now})",
        hex_literal(canonical),
        hex_literal(alias),
    );
    database.connect(database.shard_of(PROJECT, canonical)).await.execute(&sql).await;
}

fn slot(id: &str) -> i64 {
    slot_of(PROJECT, id.as_bytes())
}

/// Plants the faults that `--repair` repairs: removes the inverse row of a3, and adds an old orphan.
async fn plant_repairable_faults(database: &Database) {
    let sql = format!("DELETE FROM canonical WHERE alias_id = {}", hex_literal("a3"));
    database.connect(database.shard_of(PROJECT, "p2")).await.execute(&sql).await;
    database.plant_orphan(PROJECT, "p1", "died", 2 * HOUR_S).await;
}

/// Plants every other kind of fault. Returns the kinds.
async fn plant_unrepairable_faults(database: &Database) -> BTreeSet<&'static str> {
    // A row under the slot next to its own.
    let misfiled = (slot("misfiled") + 1) % 4096;
    plant_alias(database, database.shard_of(PROJECT, "misfiled"), misfiled, "misfiled", "p1").await;
    // A chain, both halves of both links whole: a1 is an alias of p1 already.
    let shard = database.shard_of(PROJECT, "link");
    plant_alias(database, shard, slot("link"), "link", "a1").await;
    plant_pin(database, "link", "a1").await;
    // The log lacks a line, and its newest line differs from the clock.
    let mut first = database.connect(0).await;
    first.execute("DELETE FROM alias_change WHERE seq = 2").await;
    first.execute("UPDATE shard_meta SET nonce = nonce - 1").await;
    // A version that the shard has not reached.
    let sql = format!("UPDATE alias SET version = 1000 WHERE alias_id = {}", hex_literal("a2"));
    database.connect(database.shard_of(PROJECT, "a2")).await.execute(&sql).await;
    let mut kinds =
        BTreeSet::from(["wrong_slot", "chain", "log_gap", "log_end", "version_above_clock"]);
    if database.shards() > 1 {
        // A row in its right slot, but on a shard that does not own the slot.
        let shard = (database.shard_of(PROJECT, "stray") + 1) % database.shards();
        plant_alias(database, shard, slot("stray"), "stray", "p1").await;
        kinds.insert("wrong_shard");
    }
    kinds
}

/// The kinds of problems in a report. Each must be there only once.
#[track_caller]
fn kinds(ended: &Ended) -> BTreeSet<String> {
    let report = &ended.json()[0];
    let problems = report["problems"].as_array().expect("a list");
    let kind = |problem: &serde_json::Value| problem["kind"].as_str().expect("a word").to_owned();
    let kinds: BTreeSet<String> = problems.iter().map(kind).collect();
    assert_eq!(kinds.len(), problems.len(), "{ended}");
    kinds
}

on_backends!(a_clean_store_has_no_problems);

async fn a_clean_store_has_no_problems(backend: Backend) {
    let (database, _aka) = store(backend).await;
    let before = database.tables().await;
    let said = check(&database, &[]).await.succeeded();
    // Seven were created, one was deleted.
    assert_eq!(said, "6 aliases, 6 inverse rows, 8 log lines read\nno problems\n");
    assert_eq!(check(&database, &["--repair"]).await.succeeded(), said);
    let report = &check(&database, &["--json"]).await.json()[0];
    assert_eq!((&report["aliases"], &report["repaired"]), (&6.into(), &0.into()));
    assert_eq!(database.tables().await, before);

    // A young orphan is no problem: its write may be under way. It must not be touched.
    database.plant_orphan(PROJECT, "p9", "a9", HOUR_S / 2).await;
    let before = database.tables().await;
    let said = check(&database, &["--repair"]).await.succeeded();
    assert!(said.contains("1 inverse rows of writes that are under way or died"), "{said}");
    assert!(said.ends_with("no problems\n"), "{said}");
    assert_eq!(database.tables().await, before);
}

on_backends!(each_fault_is_reported: sqlite mysql_1 mysql_3 mariadb_3);

async fn each_fault_is_reported(backend: Backend) {
    let (database, _aka) = store(backend).await;
    plant_repairable_faults(&database).await;
    let fatal = plant_unrepairable_faults(&database).await;
    let mut all = fatal.clone();
    all.extend(["orphan", "unpinned"]);
    let before = database.tables().await;

    let report = check(&database, &["--json"]).await;
    assert_eq!(report.code, Some(1), "{report}");
    assert!(kinds(&report).iter().eq(all.iter()), "{report}\nnot {all:?}");
    assert_sentences(&check(&database, &[]).await, all.len());
    assert_eq!(database.tables().await, before, "a check changes nothing");

    let repaired = check(&database, &["--repair"]).await;
    assert_eq!(repaired.code, Some(1), "{repaired}");
    let end = format!("{} problems, 2 repaired\n", all.len());
    assert!(repaired.text().ends_with(&end), "{repaired}");
    assert_only_repaired(&before, &database.tables().await);

    let report = check(&database, &["--json"]).await;
    assert_eq!(report.code, Some(1), "{report}");
    assert!(kinds(&report).iter().eq(fatal.iter()), "{report}\nnot {fatal:?}");
}

/// The report for people names the ids, and has a line for each problem.
fn assert_sentences(ended: &Ended, problems: usize) {
    assert_eq!(ended.code, Some(1), "{ended}");
    let text = ended.text();
    assert_eq!(text.lines().count(), problems + 2, "a sentence each, and two more: {ended}");
    assert!(text.ends_with(&format!("{problems} problems, 0 repaired\n")), "{ended}");
    for sentence in [
        "7/\"misfiled\" is stored under slot",
        "7/\"link\" is an alias of \"a1\", which is an alias itself",
        "7/\"a3\" is an alias of \"p2\", but has no inverse row that pins it",
        "7/\"p1\" has an old inverse row for \"died\" without a forward row",
        "shard 0: the change log lacks seq 2\n",
        "7/\"a2\" has version 1000",
        "shard 0: the newest line of the change log is not at the position of the clock row",
    ] {
        assert!(text.contains(sentence), "it does not say {sentence:?}: {ended}");
    }
}

/// The orphan is gone, the missing inverse row is back, and nothing else is different.
fn assert_only_repaired(before: &[Tables], after: &[Tables]) {
    let untouched = |tables: &Tables| Tables { inverse: Vec::new(), ..tables.clone() };
    let all_inverse = |tables: &[Tables]| -> Vec<InverseRow> {
        tables.iter().flat_map(|tables| tables.inverse.clone()).collect()
    };
    let same = before.iter().map(untouched).eq(after.iter().map(untouched));
    assert!(same, "{after:?}\nwas {before:?}");
    let (before_rows, after_rows) = (all_inverse(before), all_inverse(after));
    let gone: Vec<_> = before_rows.iter().filter(|row| !after_rows.contains(row)).collect();
    assert_eq!(gone.iter().map(|row| &row.alias_id[..]).collect::<Vec<_>>(), [b"died"]);
    let new: Vec<_> = after_rows.iter().filter(|row| !before_rows.contains(row)).collect();
    let [new] = new[..] else { panic!("not one row: {new:?}") };
    let a3 = before.iter().flat_map(|tables| &tables.forward).find(|row| row.alias_id == b"a3");
    let a3 = a3.expect("it is there");
    assert_eq!(
        (&new.canonical_id[..], &new.alias_id, new.stamp),
        (&b"p2"[..], &a3.alias_id, a3.stamp)
    );
    assert_eq!(new.slot, slot("p2"));
}

on_backends!(repairable_faults_are_repaired: sqlite mysql_3);

async fn repairable_faults_are_repaired(backend: Backend) {
    let (database, _aka) = store(backend).await;
    plant_repairable_faults(&database).await;
    assert_eq!(check(&database, &[]).await.code, Some(1));
    let said = check(&database, &["--repair"]).await.succeeded();
    assert!(said.ends_with("2 problems, 2 repaired\n"), "{said}");
    let clean = check(&database, &[]).await.succeeded();
    assert!(clean.ends_with("\nno problems\n"), "{clean}");
    aka_test_support::invariants::assert_hold(&database, false).await;
}

on_backends!(a_missing_pin_of_an_alias_is_not_restored: sqlite mysql_3);

async fn a_missing_pin_of_an_alias_is_not_restored(backend: Backend) {
    // Both a chain and unpinned: an inverse row would make it look right.
    let (database, _aka) = store(backend).await;
    let shard = database.shard_of(PROJECT, "link");
    plant_alias(&database, shard, slot("link"), "link", "a1").await;
    let before = database.tables().await;
    let ended = check(&database, &["--repair"]).await;
    assert_eq!(ended.code, Some(1), "{ended}");
    assert!(ended.text().contains("which is an alias itself"), "{ended}");
    assert_eq!(database.tables().await, before);
}

on_backends!(a_live_service_has_no_problems: sqlite mysql_3);

async fn a_live_service_has_no_problems(backend: Backend) {
    let (database, aka) = start(backend).await;
    let changes = Cell::new(0);
    let churn = async |stem: &str| {
        for round in 0.. {
            let (alias, canonical) = (format!("{stem}-{round}"), format!("{stem}-p"));
            let created = aka.create(PROJECT, &alias, &canonical).await.expect("created");
            let version = created.alias.expect("an alias").version;
            let other = format!("{stem}-q");
            let updated = aka.update(PROJECT, &alias, &other, version).await.expect("updated");
            assert!(updated.alias.is_some_and(|alias| alias.version > version));
            changes.set(changes.get() + 2);
            if round % 2 == 0 {
                aka.delete(PROJECT, &alias, 0).await.expect("deleted");
            }
        }
    };
    let checks = async {
        // Ends after enough checks and enough changes, whichever comes last.
        let mut checks = 0;
        while checks < 5 || changes.get() < 60 {
            let ended = check(&database, &[]).await;
            assert!(ended.succeeded().ends_with("no problems\n"), "{ended}");
            checks += 1;
        }
    };
    tokio::select! {
        ((), (), ()) = async { tokio::join!(churn("a"), churn("b"), churn("c")) } => {}
        () = checks => {}
    }
}
