//! Aliases a second through `BatchCreateAliases`, on SQLite, on one MySQL shard and on three.
//!
//! `cargo bench --bench create` starts a database server and the real service. It is a closed loop
//! of several clients, each with one batch of 1,000 under way. The median of three rounds counts.

use aka_test_support::{Aka, Backend, Database, Engine, create_request, shared_server};
use aka_wire::pb::alias_admin_client::AliasAdminClient;
use aka_wire::pb::{BatchCreateAliasesRequest, CreateAliasRequest};
use std::time::Instant;

const BATCH: u64 = 1_000;
const CLIENTS: u64 = 8;
const BATCHES: u64 = 6;
const ROUNDS: usize = 3;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    report("sqlite", || runtime.block_on(on_sqlite()));
    for engine in Engine::ALL {
        for shards in [1, 3] {
            let name = format!("{engine}/{shards} shards");
            report(&name, || runtime.block_on(round(engine, shards)));
        }
    }
}

fn report(name: &str, round: impl Fn() -> f64) {
    let mut rates: Vec<f64> = (0..ROUNDS).map(|_| round()).collect();
    rates.sort_by(f64::total_cmp);
    println!(
        "create/{name}: {:.0} aliases/s (median of {ROUNDS}, {:.0} to {:.0})",
        rates[ROUNDS / 2],
        rates[0],
        rates[ROUNDS - 1],
    );
}

async fn on_sqlite() -> f64 {
    let database = Database::create(Backend::Sqlite).await;
    create(&Aka::serve_with_defaults(&database, &[]).await).await
}

async fn round(engine: Engine, shards: usize) -> f64 {
    let server = shared_server(engine);
    if engine == Engine::MySql {
        // The test servers are small. With a redo log of 8 MB the benchmark would measure the log.
        server.execute("SET GLOBAL innodb_redo_log_capacity = 1073741824").await;
    }
    let database = Database::on(&vec![server; shards]).await;
    let aka = Aka::serve_with_defaults(&database, &[]).await;
    create(&aka).await
}

async fn create(aka: &Aka) -> f64 {
    let clients = (0..CLIENTS).map(|_| AliasAdminClient::new(aka.new_channel()));
    let clients: Vec<_> = clients.collect();
    let began = Instant::now();
    let tasks = (0..).zip(clients).map(|(client, mut admin)| {
        tokio::spawn(async move {
            for batch in 0..BATCHES {
                let requests = (0..BATCH).map(|n| new_alias(client, batch, n)).collect();
                let request = BatchCreateAliasesRequest { requests };
                let response = admin.batch_create_aliases(request).await.expect("answered");
                for result in response.into_inner().results {
                    assert!(result.response.is_some_and(|r| r.created), "{:?}", result.failure);
                }
            }
        })
    });
    for task in futures::future::join_all(tasks).await {
        task.expect("no client failed");
    }
    (CLIENTS * BATCHES * BATCH) as f64 / began.elapsed().as_secs_f64()
}

fn new_alias(client: u64, batch: u64, n: u64) -> CreateAliasRequest {
    let number = (client * BATCHES + batch) * BATCH + n;
    create_request(1, format!("device-{number:012x}"), format!("user-{number:012x}@example.com"))
}
