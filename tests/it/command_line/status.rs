//! `aka status`: its output and its exit codes.

use aka_test_support::{
    Aka, Backend, Database, DbServer, Ended, Engine, Invocation, PROJECT, aka, eventually,
    shared_server, start_with,
};
use std::net::TcpListener;

fn status(server: &Aka) -> Invocation {
    aka(["status", "--metrics-server", &server.metrics.to_string()])
}

/// The status as JSON, once all shards are up and `done` says so.
async fn json(server: &Aka, done: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
    eventually("the status is so", async || {
        let ended = status(server).args(["--output", "json"]).run().await;
        let up = ended.code == Some(0);
        up.then(|| ended.json().remove(0)).filter(&done)
    })
    .await
}

on_backends!(it_shows_an_instance_and_its_shards: sqlite mysql_3 mariadb_1);

async fn it_shows_an_instance_and_its_shards(backend: Backend) {
    let flags = ["--audit-sample", "1", "--retention-s", "7200", "--cache-mib", "3"];
    let (database, server) = start_with(backend, &flags).await;
    // Changes from before a shard's first poll are not counted.
    json(&server, |seen| {
        let shards = seen["shards"].as_array().expect("a list");
        shards.iter().all(|shard| shard["applied_seq"] == 0)
    })
    .await;
    server.create(PROJECT, "bob", "alice").await.expect("created");
    server.resolve(PROJECT, "bob\u{7}").await.expect("resolved");
    let home = database.shard_of(PROJECT, "bob");
    eventually("bob is remembered and audited", async || {
        server.resolve(PROJECT, "bob").await.expect("resolved");
        let checked = server.metric("aka_audit_checked_total", &[]).await;
        let hits = server.metric("aka_lookups_total", &["outcome=\"hit\""]).await;
        (checked > 0.0 && hits > 0.0).then_some(())
    })
    .await;
    // A change is counted a moment after it is applied.
    let seen = json(&server, |seen| {
        let shard = &seen["shards"][home];
        shard["applied_seq"] == 1 && shard["changes"] == 1
    })
    .await;
    assert_eq!(seen["serving"], true);
    assert_eq!(seen["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&seen["retention_seconds"], &seen["audit_sample"]), (&7200.into(), &1.0.into()));
    assert_eq!(seen["cache"]["budget_bytes"], 3 << 20);
    let lookups = seen["lookups"].as_object().expect("an object");
    assert_eq!((lookups.len(), &lookups["invalid"]), (11, &1.into()), "{seen}");
    assert!(lookups["hit"].as_u64() > Some(0), "{seen}");
    let shards = seen["shards"].as_array().expect("a list");
    assert_eq!(shards.len(), database.shards());
    for (number, shard) in shards.iter().enumerate() {
        assert_eq!((&shard["shard"], &shard["up"]), (&number.into(), &true.into()));
        assert!(shard["staleness_seconds"].as_f64().is_some_and(|age| age < 30.0), "{seen}");
        let changes = u64::from(number == home);
        assert_eq!((&shard["changes"], &shard["epochs"]), (&changes.into(), &0.into()));
    }
    let audit = &shards[home]["audit"];
    assert_eq!(audit["wrong"], 0);
    assert!(audit["checked"].as_u64() > Some(0), "{seen}");

    let text = status(&server).run().await.succeeded();
    let address = shards[home]["address"].as_str().expect("a text");
    let feed = text.split_once("  feed: seq 1 applied, ").map(|(_, feed)| feed);
    let age = feed.and_then(|feed| feed.split_once(" s ago; ")).map(|(age, _)| age);
    assert!(age.is_some_and(|age| age.parse::<f64>().is_ok_and(|age| age < 30.0)), "{text}");
    for part in [
        &format!("shard {home} ({address}): up\n"),
        " s ago; 1 changes, 0 epochs, 0 lines pruned\n",
        "change log: kept for 7200 s\n",
        " checked, 0 wrong, ",
        "serves, cluster ",
    ] {
        assert!(text.contains(part), "it does not say {part:?}: {text}");
    }
    server.kill();
    status(&server).run().await.failed(69, &["UNREACHABLE"]);
}

/// A shard that is down is shown as down, and the exit code is 1.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_is_down_is_exit_code_1() {
    let own = tokio::task::spawn_blocking(|| DbServer::start(Engine::MariaDb)).await;
    let own = own.expect("the server starts");
    let shared = tokio::task::spawn_blocking(|| shared_server(Engine::MariaDb)).await;
    let database = Database::on(&[shared.expect("the shared server starts"), &own]).await;
    let server = Aka::serve(&database, &[]).await;
    eventually("both are up", async || (status(&server).run().await.code == Some(0)).then_some(()))
        .await;
    own.kill();
    let down = eventually("it is noticed", async || {
        // A lane notices that the shard is down when it is asked for a key.
        for id in database.ids_on(1, PROJECT, "anybody", 8) {
            let _ = server.resolve(PROJECT, id).await;
        }
        let ended = status(&server).run().await;
        (ended.code != Some(0)).then_some(ended)
    })
    .await;
    assert_down(&down);
}

fn assert_down(ended: &Ended) {
    assert_eq!(ended.code, Some(1), "{ended}");
    let text = ended.text();
    assert!(text.contains("shard 0 (") && text.contains("): up\n"), "{ended}");
    assert!(text.contains("shard 1 (") && text.contains("): DOWN\n"), "{ended}");
    let sentence = "aka: SHARD_UNAVAILABLE: shards that cannot be reached: 1\n";
    assert_eq!(ended.stderr, sentence, "{ended}");
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_exit_code_69() {
    let nobody = aka(["status"]).env("AKA_METRICS_SERVER", "127.0.0.1:1").run().await;
    nobody.failed(69, &["UNREACHABLE: cannot reach http://127.0.0.1:1: ", "refused"]);
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("it is bound").to_string();
    let run = aka(["status", "--timeout-ms", "100", "--metrics-server", &address]).run().await;
    run.failed(69, &["UNREACHABLE", &address, "no answer within 100 ms"]);
}
