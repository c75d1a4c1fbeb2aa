//! The auditor finds what is wrong in memory, and nothing else.

use aka_test_support::{Aka, Backend, Database, PROJECT, backend, eventually};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

on_backends!(a_row_that_was_changed_behind_akas_back_is_found: sqlite mysql_3 mariadb_1);
on_backends!(fast_writes_raise_no_false_alarm: sqlite mysql_3 mariadb_1);

/// All answers are audited. Memory stays fresh even on a busy machine, so answers come from it.
const ALL: [&str; 4] = ["--audit-sample", "1", "--staleness-limit-ms", "60000"];

async fn audit(aka: &Aka, what: &str) -> f64 {
    aka.metric(&format!("aka_audit_{what}"), &[]).await
}

async fn counted(aka: &Aka, what: &str, expected: f64) {
    eventually("it is counted", async || (audit(aka, what).await == expected).then_some(())).await;
}

async fn canonical(aka: &Aka, id: &str) -> String {
    let resolved = aka.resolve(PROJECT, id).await.expect("resolved");
    String::from_utf8(resolved.canonical_id.to_vec()).expect("UTF-8")
}

/// Asks until the answer comes from memory.
async fn remember(aka: &Aka, id: &str, expected: &str) {
    let hits = async || {
        let hits = aka.metric("aka_lookups_total", &["outcome=\"hit\""]).await;
        hits + aka.metric("aka_lookups_total", &["outcome=\"negative_hit\""]).await
    };
    let before = hits().await;
    eventually("it is remembered", async || {
        assert_eq!(canonical(aka, id).await, expected);
        (hits().await > before).then_some(())
    })
    .await;
}

/// The row changes without a log line or a new seq. Only reading the row can show it.
async fn a_row_that_was_changed_behind_akas_back_is_found(backend: Backend) {
    let database = Database::create(backend).await;
    let aka = Aka::serve(&database, &ALL).await;
    for id in ["moved", "gone", "kept"] {
        aka.create(PROJECT, id, "alice").await.expect("created");
        remember(&aka, id, "alice").await;
    }
    let checked = audit(&aka, "checked_total").await;
    eventually("what is right is audited", async || {
        remember(&aka, "kept", "alice").await;
        (audit(&aka, "checked_total").await > checked + 1.0).then_some(())
    })
    .await;
    assert_eq!(audit(&aka, "wrong_total").await, 0.0);

    let moved = "UPDATE alias SET canonical_id = 'mallory' WHERE alias_id = 'moved'";
    let gone = "DELETE FROM alias WHERE alias_id = 'gone'";
    for (id, sql, now) in [("moved", moved, "mallory"), ("gone", gone, "gone")] {
        let sql = sql.replace("'mallory'", "x'6d616c6c6f7279'");
        let sql = sql.replace("'moved'", "x'6d6f766564'").replace("'gone'", "x'676f6e65'");
        database.connect(database.shard_of(PROJECT, id)).await.execute(&sql).await;
        let wrong = audit(&aka, "wrong_total").await;
        assert_eq!(canonical(&aka, id).await, "alice", "nobody has told memory");
        eventually("the entry is dropped", async || {
            (canonical(&aka, id).await == now).then_some(())
        })
        .await;
        counted(&aka, "wrong_total", wrong + 1.0).await;
    }
    let logged = async || Some(aka.logged("memory was wrong")).filter(|lines| lines.len() == 2);
    for line in eventually("both are logged", logged).await {
        let ids = ["moved", "gone", "alice", "mallory"];
        assert!(ids.iter().all(|id| !line.contains(id)), "an id is logged: {line}");
        for part in ["slot", "as_of", "read_at_seq", "read_at_nonce", "cursor_seq"] {
            assert!(line.contains(part), "it does not say {part}: {line}");
        }
    }
    eventually("it is seen how stale they were", async || {
        (audit(&aka, "greatest_staleness_seconds").await > 0.0).then_some(())
    })
    .await;
}

/// With this mutant the feed does not update entries. The audit of each change finds that, without a
/// sample of answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_memory_missed_is_found() {
    let database = Database::create(backend::mysql_1()).await;
    let writer = Aka::serve(&database, &[]).await;
    // A rate so low that no answer of this test is sampled.
    for (sample, found) in [("0.000000001", true), ("0", false)] {
        let flags = ["--audit-sample", sample, "--staleness-limit-ms", "60000"];
        let aka =
            Aka::serve_with_env(&database, &flags, &[("AKA_MUTANT", "feed_skips_entries")]).await;
        let id = format!("bob-{found}");
        let created = writer.create(PROJECT, &id, "alice").await.expect("created");
        remember(&aka, &id, "alice").await;
        let version = created.alias.expect("an alias").version;
        let updated = writer.update(PROJECT, &id, "eve", version).await.expect("updated");
        let seq = updated.alias.expect("an alias").version;
        eventually("the feed has applied it", async || {
            #[expect(clippy::cast_precision_loss, reason = "a small number")]
            (aka.metric("aka_feed_applied_seq", &[]).await >= seq as f64).then_some(())
        })
        .await;
        if !found {
            assert_eq!(canonical(&aka, &id).await, "alice", "the mutant does nothing");
            continue;
        }
        eventually("it is right again", async || {
            (canonical(&aka, &id).await == "eve").then_some(())
        })
        .await;
        counted(&aka, "wrong_total", 1.0).await;
    }
}

/// Keys that find no room in the audit queue are dropped and counted. No request waits for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_without_room_in_the_audit_queue_are_dropped() {
    let database = Database::create(backend::sqlite()).await;
    let aka = Aka::serve(&database, &ALL).await;
    let ids: Vec<_> = (0..9_000).map(|n| format!("stranger-{n}")).collect();
    eventually("the queue is full", async || {
        let answer = aka.batch_resolve(PROJECT, &ids).await.expect("resolved");
        assert!(answer.aliases.is_empty() && answer.failures.is_empty());
        (audit(&aka, "dropped_total").await > 0.0).then_some(())
    })
    .await;
    eventually("the rest is audited", async || {
        (audit(&aka, "checked_total").await > 300.0).then_some(())
    })
    .await;
    assert_eq!(audit(&aka, "wrong_total").await, 0.0);
}

/// The auditor raises no false alarm, however fast the rows change.
async fn fast_writes_raise_no_false_alarm(backend: Backend) {
    let database = Database::create(backend).await;
    let (writer, reader) = tokio::join!(Aka::serve(&database, &ALL), Aka::serve(&database, &ALL));
    let over = AtomicBool::new(false);
    let ids: Vec<_> = (0..12).map(|n| format!("id-{n}")).collect();
    let write = async |ids: &[String]| {
        for round in 0.. {
            for id in ids {
                let created = writer.create(PROJECT, id, format!("a-{round}")).await;
                let version = created.expect("created").alias.expect("an alias").version;
                let to = format!("b-{round}");
                writer.update(PROJECT, id, to, version).await.expect("updated");
                if over.load(SeqCst) {
                    return;
                }
                writer.delete(PROJECT, id, 0).await.expect("deleted");
            }
        }
    };
    let read = async |aka: &Aka| {
        while !over.load(SeqCst) {
            aka.batch_resolve(PROJECT, &ids).await.expect("resolved");
        }
    };
    let watch = async {
        for aka in [&writer, &reader] {
            eventually("enough is audited", async || {
                (audit(aka, "checked_total").await > 100.0).then_some(())
            })
            .await;
        }
        over.store(true, SeqCst);
    };
    tokio::join!(
        write(&ids[..4]),
        write(&ids[4..8]),
        write(&ids[8..]),
        read(&writer),
        read(&reader),
        watch
    );
    for aka in [&writer, &reader] {
        assert_eq!(audit(aka, "wrong_total").await, 0.0, "{:?}", aka.logged("memory was wrong"));
    }
}
