//! Ids that must not be aliased, and rows that were changed by hand.

use aka_test_support::{
    Aka, Backend, Database, Ended, PROJECT, aka, assert_refused, create_request, eventually,
    slot_of, start,
};
use std::time::SystemTime;
use tonic::Code;

on_backends!(what_is_no_id_is_a_placeholder: sqlite mysql_1);
on_backends!(a_row_that_was_changed_by_hand_is_not_repaired: sqlite mysql_3);
on_backends!(a_row_that_was_deleted_by_hand_is_not_repaired: sqlite mysql_3);
on_backends!(both_halves_that_were_changed_by_hand_are_found: sqlite mysql_3);
on_backends!(without_the_log_nothing_is_guessed: sqlite mysql_3);
on_backends!(what_the_log_confirms_is_repaired: sqlite mysql_3);
on_backends!(the_sweeper_keeps_what_shows_the_change: sqlite mysql_1);

/// Each of them came from a real client in place of an id.
const NO_IDS: [&str; 26] = [
    " ",
    "\u{a0}",
    "\u{200b}",
    "\u{feff} \u{3000}",
    "''",
    "\"\"",
    "' '",
    "null ",
    "\u{a0}NULL\u{200b}",
    "\" undefined\"",
    "<nil>",
    "'<Nil>'",
    "unset",
    "(not set)",
    "(Not Set)\u{2003}",
    "[object Undefined]",
    "[object Null]",
    "{{user_id}}",
    "'{{ user.id }}'",
    "${USER_ID}",
    "<%= user.id %>",
    "{% raw %}",
    "%s",
    "%USER_ID%",
    "000000000000000",
    "00000000-0000-0000-0000-000000000000",
];

/// They only look a little like those.
const IDS: [&str; 12] = [
    "bob ",
    "\u{a0}bob",
    "'bob'",
    "'",
    "{3f2504e0-4f89-11d3-9a0c-0305e82c3301}",
    "{\"a\":1}",
    "100%",
    "<bob>",
    "01",
    "0-0",
    "00000000",
    "nullable",
];

async fn what_is_no_id_is_a_placeholder(backend: Backend) {
    let (database, aka) = start(backend).await;
    for id in NO_IDS {
        println!("{id:?}");
        let refused = |status| assert_refused(&status, Code::InvalidArgument, "PLACEHOLDER_ID");
        refused(aka.create(PROJECT, id, "alice").await.expect_err("an alias"));
        refused(aka.create(PROJECT, "bob", id).await.expect_err("a canonical id"));
        refused(aka.dry_run(PROJECT, id, "alice").await.expect_err("an alias"));
        refused(aka.update(PROJECT, "bob", id, 1).await.expect_err("a canonical id"));
        let batch = vec![create_request(PROJECT, id, "alice")];
        let result = aka.create_all(batch).await.expect("a batch").results.remove(0);
        assert_eq!(result.failure.expect("refused").reason, "PLACEHOLDER_ID");
    }
    for (number, id) in IDS.iter().enumerate() {
        let created = aka.create(PROJECT, id, format!("p-{number}")).await.expect("created");
        assert!(created.created, "{id:?}");
    }
    drop(aka);

    // An alias from before the list grew is answered as what it is, without a query.
    let aka = Aka::serve(&database, &["--placeholder", "nobody"]).await;
    aka.create(PROJECT, "unset", "alice").await.expect("not on this list");
    assert!(aka.resolve(PROJECT, "unset").await.expect("resolved").is_alias);
    let refused = aka.create(PROJECT, "{{id}}", "alice").await.expect_err("whatever the list is");
    assert_refused(&refused, Code::InvalidArgument, "PLACEHOLDER_ID");
    drop(aka);
    let aka = Aka::serve(&database, &[]).await;
    let before = aka.lookup_queries().await;
    for id in NO_IDS {
        let resolved = aka.resolve(PROJECT, id).await.expect("a read is never refused");
        assert_eq!((&*resolved.canonical_id, resolved.is_alias), (id.as_bytes(), false));
    }
    let answer = aka.batch_resolve(PROJECT, NO_IDS).await.expect("resolved");
    assert!(answer.aliases.is_empty() && answer.failures.is_empty(), "{answer:?}");
    assert_eq!(aka.lookup_queries().await, before);
    for (number, id) in IDS.iter().enumerate() {
        let resolved = aka.resolve(PROJECT, id).await.expect("resolved");
        assert_eq!(resolved.canonical_id, format!("p-{number}"), "{id:?}");
    }
}

async fn check(database: &Database, flags: &[&str]) -> Ended {
    aka(["check"]).args(database.flags()).args(flags).run().await
}

/// The kinds of the problems that are reported, sorted.
async fn kinds(database: &Database) -> Vec<String> {
    let ended = check(database, &["--json"]).await;
    let problems = ended.json()[0]["problems"].as_array().expect("a list").clone();
    let kind = |problem: &serde_json::Value| problem["kind"].as_str().expect("a word").to_owned();
    let mut kinds: Vec<String> = problems.iter().map(kind).collect();
    kinds.sort_unstable();
    kinds
}

/// A store with an alias and no server. On every shard the last change is another id's, so that all
/// lines about the alias can be pruned.
async fn store(backend: Backend) -> Database {
    let (database, aka) = start(backend).await;
    aka.create(PROJECT, "bob", "alice").await.expect("created");
    for shard in 0..database.shards() {
        for id in database.ids_on(shard, PROJECT, "other", 2) {
            aka.create(PROJECT, id, "somebody").await.expect("created");
        }
    }
    aka.stop().await;
    database
}

/// Runs a statement on the shard of an id. `$bob` and others stand for the bytes of an id.
async fn by_hand(database: &Database, of: &str, sql: &str) {
    let mut sql = sql.to_owned();
    for id in ["bob", "alice", "mallory"] {
        let digits: String = id.bytes().map(|byte| format!("{byte:02x}")).collect();
        sql = sql.replace(&format!("${id}"), &format!("x'{digits}'"));
    }
    database.connect(database.shard_of(PROJECT, of)).await.execute(&sql).await;
}

const CHANGE: &str = "UPDATE alias SET canonical_id = $mallory WHERE alias_id = $bob";
const DELETE: &str = "DELETE FROM alias WHERE alias_id = $bob";
const LOSE_PIN: &str = "DELETE FROM canonical WHERE alias_id = $bob";
/// Older than any write that is under way.
const AGE_PIN: &str = "UPDATE canonical SET create_time_us = 1 WHERE alias_id = $bob";

/// Removes the lines about the alias, and all before them.
async fn prune(database: &Database) {
    let sql = "DELETE FROM alias_change WHERE seq <= (SELECT seq FROM \
         (SELECT MAX(seq) AS seq FROM alias_change WHERE alias_id = $bob) AS newest)";
    by_hand(database, "bob", sql).await;
}

/// A repair reports these problems, and changes nothing.
async fn assert_left_alone(database: &Database, expected: &[&str], says: &[&str]) {
    let before = database.tables().await;
    assert_eq!(kinds(database).await, expected);
    let repaired = check(database, &["--repair"]).await;
    assert_eq!(repaired.code, Some(1), "{repaired}");
    for text in says {
        assert!(repaired.text().contains(text), "it does not say {text:?}: {repaired}");
    }
    assert!(repaired.text().contains(", 0 repaired\n"), "{repaired}");
    assert_eq!(database.tables().await, before);
    assert_eq!(kinds(database).await, expected, "the damage is not hidden");
}

async fn a_row_that_was_changed_by_hand_is_not_repaired(backend: Backend) {
    let says = ["7/\"bob\" is an alias of \"mallory\"", "\"alice\"", "changed by hand"];
    let database = store(backend).await;
    by_hand(&database, "bob", CHANGE).await;
    assert_left_alone(&database, &["row_differs"], &says).await;
    // Also when the inverse row is old enough to be an orphan, and when it is gone.
    by_hand(&database, "alice", AGE_PIN).await;
    assert_left_alone(&database, &["row_differs"], &says).await;
    by_hand(&database, "alice", LOSE_PIN).await;
    assert_left_alone(&database, &["row_differs"], &says).await;

    // A chain, too, is not all that there is to say.
    let database = store(backend).await;
    by_hand(&database, "bob", CHANGE).await;
    let aka = Aka::serve(&database, &[]).await;
    aka.create(PROJECT, "mallory", "eve").await.expect("nobody has pinned it");
    aka.stop().await;
    assert_left_alone(&database, &["chain", "row_differs"], &says).await;

    // Another version than that of the last change.
    let database = store(backend).await;
    by_hand(&database, "bob", "UPDATE alias SET version = 0 WHERE alias_id = $bob").await;
    by_hand(&database, "alice", LOSE_PIN).await;
    assert_left_alone(&database, &["row_differs"], &["(version 0)"]).await;
    // Nobody can vouch for a row that the log contradicts.
    let repaired = check(&database, &["--repair", "--trust-rows"]).await;
    assert!(repaired.text().ends_with("1 problems, 0 repaired\n"), "{repaired}");

    // What the report advises makes all well.
    let aka = Aka::serve(&database, &[]).await;
    aka.delete(PROJECT, "bob", 0).await.expect("deleted");
    aka.create(PROJECT, "bob", "alice").await.expect("created");
    assert!(kinds(&database).await.is_empty());
}

async fn both_halves_that_were_changed_by_hand_are_found(backend: Backend) {
    // Each half fits the other. Only the log shows it.
    let inverse = |canonical: &str| {
        let slot = slot_of(PROJECT, canonical.as_bytes());
        format!(
            "INSERT INTO canonical VALUES ({slot}, {PROJECT}, ${canonical}, $bob, 77, {})",
            SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_micros()
        )
    };
    let database = store(backend).await;
    by_hand(&database, "bob", "UPDATE alias SET stamp = 77 WHERE alias_id = $bob").await;
    by_hand(&database, "bob", CHANGE).await;
    by_hand(&database, "alice", LOSE_PIN).await;
    by_hand(&database, "mallory", &inverse("mallory")).await;
    let says = ["7/\"bob\" is an alias of \"mallory\"", "alias of \"alice\"", "changed by hand"];
    assert_left_alone(&database, &["row_differs"], &says).await;

    let database = store(backend).await;
    by_hand(&database, "bob", DELETE).await;
    by_hand(&database, "alice", LOSE_PIN).await;
    let says = ["7/\"bob\" has no forward row", "alias of \"alice\"", "changed by hand"];
    assert_left_alone(&database, &["row_differs"], &says).await;

    // An alias that comes back after its delete.
    let database = store(backend).await;
    let row = database.tables().await.into_iter().flat_map(|shard| shard.forward);
    let row = row.into_iter().find(|row| row.alias_id == b"bob").expect("an alias");
    let aka = Aka::serve(&database, &[]).await;
    aka.delete(PROJECT, "bob", 0).await.expect("deleted");
    aka.stop().await;
    assert!(kinds(&database).await.is_empty());
    let (slot, now) = (slot_of(PROJECT, b"bob"), 1);
    let forward = format!(
        "INSERT INTO alias VALUES ({slot}, {PROJECT}, $bob, $alice, {}, 77, {now}, {now})",
        row.version
    );
    by_hand(&database, "bob", &forward).await;
    by_hand(&database, "alice", &inverse("alice")).await;
    let says = ["7/\"bob\" is an alias of \"alice\"", "deletes the alias", "changed by hand"];
    assert_left_alone(&database, &["row_differs"], &says).await;
}

async fn a_row_that_was_deleted_by_hand_is_not_repaired(backend: Backend) {
    let database = store(backend).await;
    by_hand(&database, "bob", DELETE).await;
    let says = ["7/\"bob\" has no forward row", "\"alice\"", "changed by hand"];
    assert_left_alone(&database, &["row_differs"], &says).await;
    by_hand(&database, "alice", AGE_PIN).await;
    assert_left_alone(&database, &["row_differs"], &says).await;
}

async fn without_the_log_nothing_is_guessed(backend: Backend) {
    // The inverse row of the same write shows what the row was.
    let database = store(backend).await;
    by_hand(&database, "bob", CHANGE).await;
    by_hand(&database, "alice", AGE_PIN).await;
    prune(&database).await;
    let says =
        ["7/\"bob\" is an alias of \"mallory\"", "inverse row of the same write", "\"alice\""];
    assert_left_alone(&database, &["row_differs"], &says).await;

    // Nothing shows it, so nobody knows whether the alias is right.
    by_hand(&database, "alice", LOSE_PIN).await;
    let says = ["7/\"bob\" is an alias of \"mallory\"", "no line", "--trust-rows"];
    assert_left_alone(&database, &["unpinned"], &says).await;

    // A person may know.
    let repaired = check(&database, &["--repair", "--trust-rows"]).await.succeeded();
    assert!(repaired.ends_with("1 problems, 1 repaired\n"), "{repaired}");
    assert!(kinds(&database).await.is_empty());
    let aka = Aka::serve(&database, &[]).await;
    assert_eq!(aka.list_all(PROJECT, "mallory", 0).await, ["bob"]);
}

async fn what_the_log_confirms_is_repaired(backend: Backend) {
    // A lost inverse row, and one whose forward row got another stamp.
    for sql in
        [LOSE_PIN, "UPDATE canonical SET stamp = 5, create_time_us = 1 WHERE alias_id = $bob"]
    {
        let database = store(backend).await;
        by_hand(&database, "alice", sql).await;
        assert!(kinds(&database).await.contains(&"unpinned".to_owned()));
        let repaired = check(&database, &["--repair"]).await;
        assert_eq!(repaired.code, Some(0), "{repaired}");
        assert!(kinds(&database).await.is_empty());
        aka_test_support::invariants::assert_hold(&database, false).await;
        let aka = Aka::serve(&database, &[]).await;
        assert_eq!(aka.list_all(PROJECT, "alice", 0).await, ["bob"]);
    }
    // An orphan beside its alias, whose log lines are pruned: the stamps tell them apart.
    let database = store(backend).await;
    prune(&database).await;
    database.plant_orphan(PROJECT, "alice", "bob", 7_200).await;
    let repaired = check(&database, &["--repair"]).await.succeeded();
    assert!(repaired.ends_with("1 problems, 1 repaired\n"), "{repaired}");
    assert!(kinds(&database).await.is_empty());
}

async fn the_sweeper_keeps_what_shows_the_change(backend: Backend) {
    let database = store(backend).await;
    by_hand(&database, "bob", CHANGE).await;
    by_hand(&database, "alice", AGE_PIN).await;
    let aka = Aka::serve(&database, &["--sweep-pause-ms", "10"]).await;
    // The sweeper has walked over the whole table after the first of them.
    for (orphan, swept) in [("first", 1.0), ("second", 2.0)] {
        database.plant_orphan(PROJECT, "zoe", orphan, 7_200).await;
        eventually("the orphan is removed", async || {
            (aka.metric("aka_orphans_removed_total", &[]).await >= swept).then_some(())
        })
        .await;
    }
    assert_eq!(aka.metric("aka_orphans_removed_total", &[]).await, 2.0);
    aka.stop().await;
    prune(&database).await;
    assert_eq!(kinds(&database).await, ["row_differs"]);
}
