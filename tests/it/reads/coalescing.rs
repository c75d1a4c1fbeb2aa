//! How many queries reads cost, counted by `aka` and by the database (P12).

use super::{person_of, settled, store_aliases};
use aka_test_support::{Aka, Backend, Database, DbServer, Engine, PROJECT, bytes, eventually};
use aka_wire::pb::ResolveRequest;
use aka_wire::pb::resolver_client::ResolverClient;
use std::time::Duration;
use tonic::Status;

on_backends!(a_cold_read_is_a_query_and_a_warm_one_none: sqlite mysql_3 mariadb_1);
on_backends!(a_batch_is_a_few_queries_a_shard: sqlite mysql_3 mariadb_3);

/// Memory stays fresh even on a busy machine. No scan for a filter fills the cache.
const STEADY: [&str; 4] = ["--staleness-limit-ms", "120000", "--filter", "false"];

async fn a_cold_read_is_a_query_and_a_warm_one_none(backend: Backend) {
    let database = Database::create(backend).await;
    let ids: Vec<String> = (0..10).map(|number| format!("alias-{number}")).collect();
    store_aliases(&database, &ids).await;
    let aka = Aka::serve(&database, &STEADY).await;
    settled(&aka, &database).await;
    for id in &ids {
        let before = aka.lookup_queries().await;
        assert_eq!(aka.resolve(PROJECT, id).await.expect("resolved").canonical_id, person_of(id));
        assert_eq!(aka.lookup_queries().await - before, 1.0, "a cold read");
        for _ in 0..20 {
            let resolved = aka.resolve(PROJECT, id).await.expect("resolved");
            assert_eq!(resolved.canonical_id, person_of(id));
        }
        aka.batch_resolve(PROJECT, [id, id]).await.expect("resolved");
        assert_eq!(aka.lookup_queries().await - before, 1.0, "warm reads");
    }
    // "Not an alias" is remembered too. The filter may say it without a query.
    let before = aka.lookup_queries().await;
    for _ in 0..20 {
        assert!(!aka.resolve(PROJECT, "stranger").await.expect("resolved").is_alias);
    }
    assert!(aka.lookup_queries().await - before <= 1.0);
}

async fn a_batch_is_a_few_queries_a_shard(backend: Backend) {
    let database = Database::create(backend).await;
    let ids: Vec<String> = (0..1_000).map(|number| format!("alias-{number}")).collect();
    store_aliases(&database, &ids).await;
    let aka = Aka::serve(&database, &STEADY).await;
    settled(&aka, &database).await;
    let labels: Vec<String> = (0..database.shards()).map(|n| format!("shard=\"{n}\"")).collect();
    for (round, most) in [("cold", 5.0), ("warm", 0.0)] {
        let mut before = Vec::new();
        for label in &labels {
            before.push(aka.metric("aka_lookup_queries_total", &[label]).await);
        }
        let answer = aka.batch_resolve(PROJECT, &ids).await.expect("resolved");
        let found: Vec<_> = answer.aliases.iter().map(|found| &found.canonical_id[..]).collect();
        assert_eq!(found, ids.iter().map(|id| person_of(id).into_bytes()).collect::<Vec<_>>());
        for (label, before) in labels.iter().zip(before) {
            let queries = aka.metric("aka_lookup_queries_total", &[label]).await - before;
            assert!(queries <= most, "{queries} queries of {label} for a {round} batch");
            assert!(queries >= most.min(1.0), "no query of {label} for a {round} batch");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_is_one_query_of_sqlite() {
    let database = Database::create(Backend::Sqlite).await;
    store_aliases(&database, &["popular".to_owned()]).await;
    let aka = Aka::serve(&database, &STEADY).await;
    settled(&aka, &database).await;
    let before = aka.lookup_queries().await;
    for answer in Burst::begin(&aka, 10_000).answers().await {
        assert_eq!(answer.expect("resolved"), person_of("popular"));
    }
    assert_eq!(aka.lookup_queries().await - before, 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_is_one_query_of_mysql() {
    a_burst_is_one_query(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_is_one_query_of_mariadb() {
    a_burst_is_one_query(Engine::MariaDb).await;
}

/// While the query waits for a locked table, all other calls join its flight. The caller that started
/// it gives up, which must not hurt the others.
async fn a_burst_is_one_query(engine: Engine) {
    let server = tokio::task::spawn_blocking(move || DbServer::start(engine)).await;
    let server = server.expect("a server of its own");
    let database = Database::on(&[&server]).await;
    store_aliases(&database, &["popular".to_owned()]).await;
    let patient = ["--query-timeout-ms", "60000", "--request-timeout-ms", "120000"];
    // Some calls may reach the server after the load. They are answered from memory, and an audit of
    // such an answer would be another query.
    let unaudited = ["--audit-sample", "0"];
    let aka = Aka::serve(&database, &[&STEADY[..], &patient, &unaudited].concat()).await;
    settled(&aka, &database).await;
    server.execute("SET GLOBAL log_output = 'TABLE', GLOBAL general_log = ON").await;
    let before = aka.lookup_queries().await;

    let mut owner = database.connect(0).await;
    owner.execute("LOCK TABLES alias WRITE").await;
    let first = Burst::begin(&aka, 1);
    resolves(&aka, "grpc_server_started_total", &[], 1.0).await;
    let others = Burst::begin(&aka, 10_000);
    resolves(&aka, "grpc_server_started_total", &[], 10_001.0).await;
    drop(first);
    resolves(&aka, "grpc_server_handled_total", &["grpc_code=\"Canceled\""], 1.0).await;
    resolves(&aka, "grpc_server_handled_total", &["grpc_code=\"OK\""], 0.0).await;
    owner.execute("UNLOCK TABLES").await;

    for answer in others.answers().await {
        assert_eq!(answer.expect("resolved"), person_of("popular"));
    }
    assert_eq!(aka.lookup_queries().await - before, 1.0, "as aka counts");
    // The log also holds this query itself, which is left out.
    let asked = "SELECT COUNT(*) FROM mysql.general_log WHERE command_type = 'Execute' \
                 AND argument LIKE '%popular%' AND argument NOT LIKE '%general_log%'";
    assert_eq!(database.connect(0).await.number(asked).await, 1, "as the database counts");
}

/// Waits until this many calls of Resolve are counted.
async fn resolves(aka: &Aka, metric: &str, labels: &[&str], count: f64) {
    let labels = [labels, &["grpc_method=\"Resolve\""]].concat();
    eventually("the calls are counted", async || {
        (aka.metric(metric, &labels).await == count).then_some(())
    })
    .await;
}

/// Many calls at once for one id. Dropping it cancels them.
struct Burst(tokio::task::JoinSet<Result<String, Status>>);

impl Burst {
    fn begin(aka: &Aka, count: usize) -> Self {
        // A connection has a limit of calls at once.
        const A_CONNECTION: usize = 250;
        let mut calls = tokio::task::JoinSet::new();
        for first in (0..count).step_by(A_CONNECTION) {
            let client = ResolverClient::new(aka.new_channel());
            for _ in first..count.min(first + A_CONNECTION) {
                let mut client = client.clone();
                calls.spawn(async move {
                    let id = bytes("popular");
                    let mut request = tonic::Request::new(ResolveRequest {
                        project_id: PROJECT,
                        distinct_id: id,
                        consistency_token: String::new(),
                    });
                    request.set_timeout(Duration::from_secs(120));
                    let answer = client.resolve(request).await?.into_inner();
                    Ok(String::from_utf8_lossy(&answer.canonical_id).into_owned())
                });
            }
        }
        Self(calls)
    }

    async fn answers(self) -> Vec<Result<String, Status>> {
        self.0.join_all().await
    }
}
