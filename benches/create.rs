//! Aliases a second through `BatchCreateAliases`, on one MySQL shard and on three.
//!
//! `make bench` (it starts a MySQL of the test harness and the real service; closed loop, several
//! clients, each with one batch of 1,000 on its way; three rounds, of which the median counts).

#[path = "../tests/it/servers.rs"]
mod servers;

use aka_wire::pb::alias_admin_client::AliasAdminClient;
use aka_wire::pb::{BatchCreateAliasesRequest, CreateAliasRequest};
use bytes::Bytes;
use servers::{Engine, shared};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Instant;
use tonic::transport::Channel;

const BATCH: u64 = 1_000;
const CLIENTS: u64 = 8;
const BATCHES: u64 = 6;
const ROUNDS: usize = 3;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for engine in Engine::ALL {
        for shards in [1, 3] {
            let mut rates: Vec<f64> =
                (0..ROUNDS).map(|_| runtime.block_on(round(engine, shards))).collect();
            rates.sort_by(f64::total_cmp);
            println!(
                "create/{engine}/{shards} shards: {:.0} aliases/s (median of {ROUNDS}, {:.0} to {:.0})",
                rates[ROUNDS / 2],
                rates[0],
                rates[ROUNDS - 1],
            );
        }
    }
}

async fn round(engine: Engine, shards: usize) -> f64 {
    let server = shared(engine);
    if engine == Engine::MySql {
        // The test servers are kept small; a redo log of 8 MB would be what is measured.
        server.execute("SET GLOBAL innodb_redo_log_capacity = 1073741824").await;
    }
    let mut urls = Vec::new();
    for _ in 0..shards {
        let database = server.create_database().await;
        urls.extend(["--shard".to_owned(), server.url(&database)]);
    }
    let migrated = Command::new(env!("CARGO_BIN_EXE_aka")).arg("migrate").args(&urls).output();
    assert!(migrated.expect("aka migrate runs").status.success());
    let aka = Command::new(env!("CARGO_BIN_EXE_aka"))
        .args(["serve", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"])
        .args(&urls)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("aka serve runs");
    let mut aka = KillOnDrop(aka);
    let address = address(&mut aka.0);
    create(&address).await
}

/// Ends the service, also when the benchmark fails.
struct KillOnDrop(Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn address(aka: &mut Child) -> String {
    let mut line = String::new();
    let stdout = aka.stdout.take().expect("piped");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    format!("http://{}", line.trim().strip_prefix("aka: serving on ").expect("an address"))
}

async fn create(address: &str) -> f64 {
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(AliasAdminClient::<Channel>::connect(address.to_owned()).await.expect("up"));
    }
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
    CreateAliasRequest {
        project_id: 1,
        alias_id: Bytes::from(format!("device-{number:012x}")),
        canonical_id: Bytes::from(format!("user-{number:012x}@example.com")),
        dry_run: false,
    }
}
