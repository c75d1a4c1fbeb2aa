//! Deadlines are kept even if the database is slow, and no query starts after one (P11).

use super::settled;
use aka_test_support::proxy::{Mode, Proxy};
use aka_test_support::{
    Aka, Backend, Database, Engine, PROJECT, Raw, batch_request, bytes, create_request, eventually,
    shared_server, start,
};
use aka_wire::pb;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tonic::{Code, Request};

/// The answer must come within this time. It is far longer than the deadline that is tested, and far
/// shorter than every other timeout.
const IN_TIME: Duration = Duration::from_secs(10);

/// A timeout of queries that is far longer than the tests wait.
const QUERY_TIMEOUT: [&str; 2] = ["--query-timeout-ms", "60000"];

/// The ids of these tests are not aliases, so a filter would answer for them without the shard.
const NO_FILTER: [&str; 2] = ["--filter", "false"];

/// A shard answers nothing any more. Every call must be answered by the server's own limit, because
/// no other timeout would end it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_is_answered_in_time_over_a_black_hole() {
    let server = tokio::task::spawn_blocking(|| shared_server(Engine::MySql)).await;
    let server = server.expect("the shared server starts");
    let direct = Database::on(&[server]).await;
    let proxy = Proxy::start(server.port()).await;
    let database = Database::at(vec![proxy.url(&direct.names()[0])]);
    let limit = ["--request-timeout-ms", "1000"];
    let aka = Aka::serve(&database, &[QUERY_TIMEOUT, limit, NO_FILTER].concat()).await;
    settled(&aka, &direct).await;
    proxy.set(Mode::BlackHole);
    let (resolve, batch, create, get, update, delete, list) = tokio::join!(
        timed(aka.resolve(PROJECT, "alias-1")),
        timed(aka.batch_resolve(PROJECT, ["alias-2"])),
        timed(aka.create(PROJECT, "alias-3", "alice")),
        timed(aka.get(PROJECT, "alias-4")),
        timed(aka.update(PROJECT, "alias-5", "alice", 1)),
        timed(aka.delete(PROJECT, "alias-6", 0)),
        timed(aka.list(PROJECT, "alice", 0, "")),
    );
    assert_eq!(resolve.expect_err("nobody knows").code(), Code::DeadlineExceeded);
    let failure = &batch.expect("an answer").failures[0];
    assert_eq!(failure.reason, "DEADLINE_EXCEEDED");
    for refused in [create.map(drop), get.map(drop), update.map(drop), delete.map(drop)] {
        assert_eq!(refused.expect_err("nobody knows").code(), Code::DeadlineExceeded);
    }
    assert_eq!(list.expect_err("nobody knows").code(), Code::DeadlineExceeded);

    // The client's own deadline, where it is shorter.
    let mut request = Request::new(pb::ResolveRequest {
        project_id: PROJECT,
        distinct_id: bytes("alias-7"),
        consistency_token: String::new(),
    });
    request.set_timeout(Duration::from_millis(200));
    timed(aka.resolver().resolve(request)).await.expect_err("nobody knows");
    let mut creates = Request::new(pb::BatchCreateAliasesRequest {
        requests: vec![create_request(PROJECT, "alias-8", "alice")],
    });
    creates.set_timeout(Duration::from_millis(200));
    // It may fail as a whole, or the one alias in it.
    if let Ok(answer) = timed(aka.admin().batch_create_aliases(creates)).await {
        assert!(answer.into_inner().results[0].response.is_none());
    }
}

async fn timed<T>(call: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let answer = tokio::time::timeout(IN_TIME, call).await;
    answer.unwrap_or_else(|_| panic!("no answer within {:?}", begun.elapsed()))
}

on_backends!(no_lookup_is_sent_after_the_deadline: sqlite mysql_1);

/// The only lane is held in the query of another key. What waits behind it is answered in time, and
/// is not asked for when the lane is free again.
async fn no_lookup_is_sent_after_the_deadline(backend: Backend) {
    let database = Database::create(backend).await;
    let gate = TempDir::new().expect("a folder");
    let folder = gate.path().display().to_string();
    let flags = [["--lanes", "1"], QUERY_TIMEOUT, NO_FILTER].concat();
    let aka = Aka::serve_with_env(&database, &flags, &[("AKA_HOLD_DIR", &folder)]).await;
    settled(&aka, &database).await;
    std::fs::write(gate.path().join("landing"), "").expect("the gate closes");
    let first = tokio::spawn({
        let mut resolver = aka.resolver();
        let request = batch_request(PROJECT, ["first"]);
        async move { resolver.batch_resolve(request).await }
    });
    let held = gate.path().join("landing.held");
    eventually("the lane is held", async || held.exists().then_some(())).await;

    let mut request = Request::new(batch_request(PROJECT, ["second", "third"]));
    request.set_timeout(Duration::from_millis(300));
    let late = timed(aka.resolver().batch_resolve(request)).await;
    if let Ok(answer) = late {
        let answer = answer.into_inner();
        assert_eq!(answer.failures.len(), 2, "{answer:?}");
        assert!(answer.failures.iter().all(|failure| failure.reason == "DEADLINE_EXCEEDED"));
    }
    std::fs::remove_file(gate.path().join("landing")).expect("the gate opens");
    first.await.expect("no panic").expect("it was in time");
    aka.resolve(PROJECT, "fourth").await.expect("the lane is free");
    assert_eq!(aka.metric("aka_lookup_query_keys_sum", &[]).await, 2.0, "of first and fourth");
}

on_backends!(no_write_is_begun_after_the_deadline: sqlite mysql_1 mariadb_1);

/// Another connection holds the shard's clock row until the write's deadline has passed.
async fn no_write_is_begun_after_the_deadline(backend: Backend) {
    let (database, aka) = start(backend).await;
    aka.create(PROJECT, "before", "alice").await.expect("created");
    let mut owner = database.connect(0).await;
    match &owner {
        Raw::Sqlite(_) => owner.execute("BEGIN IMMEDIATE").await,
        Raw::MySql(_) => {
            owner.execute("START TRANSACTION").await;
            owner.execute("SELECT seq FROM shard_meta FOR UPDATE").await;
        }
    }
    let mut request = Request::new(create_request(PROJECT, "late", "alice"));
    request.set_timeout(Duration::from_millis(300));
    timed(aka.admin().create_alias(request)).await.expect_err("its time was up");
    owner.execute("ROLLBACK").await;
    // Behind it in the queue: when this one is done, so is that.
    aka.create(PROJECT, "after", "alice").await.expect("created");
    let tables = database.tables().await;
    let aliases: Vec<_> = tables[0].forward.iter().map(|row| &row.alias_id[..]).collect();
    assert!(!aliases.contains(&&b"late"[..]), "{aliases:?}");
    assert_eq!(tables[0].inverse.len(), aliases.len(), "it left an inverse row");
}
