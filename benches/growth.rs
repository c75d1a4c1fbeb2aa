//! The cost of more aliases and of more shards: CPU time for a lookup, and memory.
//!
//! `cargo bench --bench growth`, or with pairs of ALIASES:SHARDS after `--` (`-- 10000000:1`). Each
//! pair has databases of its own on one MySQL of the test harness, a real service, and the load of
//! `aka bench`: half of the ids are aliases, asked for with a skew (Zipf 0.99), on 8 connections
//! with 50 calls each, or with two batches of 100 each. Every answer is checked. The cache is as
//! large as all aliases need.
//!
//! The rows are written to the tables directly. `--bench create` shows what creates cost.

use aka_load::{ConnectedLoad, IdSet, LoadPlan, LoadServer, Mode};
use aka_test_support::{
    Aka, Database, Engine, PROJECT, aka_program, fill_shards, median, shared_server,
};
use std::process::Command;
use std::time::{Duration, Instant};

const DEFAULT: [(u32, usize); 7] = [
    (10_000, 1),
    (100_000, 1),
    (1_000_000, 1),
    (1_000_000, 2),
    (1_000_000, 4),
    (1_000_000, 8),
    (10_000_000, 1),
];

/// How often each load runs. The medians count.
const ROUNDS: usize = 3;
const DURATION: Duration = Duration::from_secs(4);

/// How long the filters may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Cache bytes for each alias, rounded up: its entry in moka, and its part of the hot table.
const CACHE_BYTES_AN_ALIAS: u64 = 560;

fn main() {
    let pairs: Vec<_> = std::env::args().skip(1).filter_map(|arg| pair(&arg)).collect();
    let pairs = if pairs.is_empty() { DEFAULT.to_vec() } else { pairs };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    println!(
        "| aliases | shards | unary, µs CPU | batch of 100, µs CPU an id | from memory | filters, MiB | filled in, s | resident, MiB |"
    );
    println!("|---:|---:|---:|---:|---:|---:|---:|---:|");
    for (aliases, shards) in pairs {
        println!("{}", runtime.block_on(grown(aliases, shards)));
    }
}

fn pair(arg: &str) -> Option<(u32, usize)> {
    let (aliases, shards) = arg.split_once(':')?;
    Some((aliases.parse().ok()?, shards.parse().ok()?))
}

/// Measures one pair. Returns a line of the table.
async fn grown(aliases: u32, shards: usize) -> String {
    let server = shared_server(Engine::MySql);
    // The test servers are small.
    server.execute("SET GLOBAL innodb_redo_log_capacity = 2147483648").await;
    server.execute("SET GLOBAL innodb_buffer_pool_size = 4294967296").await;
    let database = Database::on(&vec![server; shards]).await;
    let names = database.names();
    let databases: Vec<_> = names.iter().map(|name| (server, name.as_str())).collect();
    let filled = fill_shards(&databases, &pairs_of(aliases)).await;

    let began = Instant::now();
    let cache = (u64::from(aliases) * CACHE_BYTES_AN_ALIAS).div_ceil(1 << 20).max(64);
    let aka = Aka::serve_with_defaults(&database, &["--cache-mib", &cache.to_string()]).await;
    // The filter counts a little less, because it cannot tell a few keys from others.
    while aka.metric("aka_filter_keys", &[]).await < 0.98 * filled as f64 {
        assert!(began.elapsed() < PATIENCE, "the filters are not filled");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let seconds = began.elapsed().as_secs_f64();
    prepare(&aka, aliases);
    let (mut unary, mut batch) = (Vec::new(), Vec::new());
    let before = lookups_and_loads(&aka).await;
    let plan = LoadPlan {
        zipf: 0.99,
        connections: 8,
        duration: DURATION,
        warm_up: Duration::from_secs(1),
        ..LoadPlan::new(PROJECT, ids(aliases))
    };
    for _ in 0..ROUNDS {
        let mode = Mode::Unary;
        unary.push(cpu_for_an_id(&aka, LoadPlan { mode, concurrency: 50, ..plan.clone() }).await);
        let mode = Mode::Batch(100);
        batch.push(cpu_for_an_id(&aka, LoadPlan { mode, concurrency: 2, ..plan.clone() }).await);
    }
    let after = lookups_and_loads(&aka).await;
    let (asked, loaded) = (after.0 - before.0, after.1 - before.1);
    for name in &names {
        server.execute(&format!("DROP DATABASE {name}")).await;
    }
    format!(
        "| {aliases} | {shards} | {:.2} | {:.3} | {:.2} % | {:.1} | {:.1} | {:.0} |",
        median(unary).expect("some runs"),
        median(batch).expect("some runs"),
        100.0 * (1.0 - loaded / asked),
        aka.metric("aka_filter_bytes", &[]).await / f64::from(1 << 20),
        seconds,
        resident(aka.pid()) / f64::from(1 << 20),
    )
}

async fn lookups_and_loads(aka: &Aka) -> (f64, f64) {
    let loads = aka.metric("aka_lookup_query_keys_sum", &[]).await;
    (aka.metric("aka_lookups_total", &[]).await, loads)
}

/// The ids of the load. Half of them are aliases.
fn ids(aliases: u32) -> IdSet {
    IdSet::new(2 * aliases, 0.5)
}

/// Its aliases and their canonical ids.
fn pairs_of(aliases: u32) -> Vec<(String, String)> {
    let text = |id: &[u8]| String::from_utf8_lossy(id).into_owned();
    ids(aliases).aliases().map(|id| (text(&id.id()), text(&id.canonical()))).collect()
}

/// The CPU time of the service for an id, in microseconds. Every answer is checked.
async fn cpu_for_an_id(aka: &Aka, plan: LoadPlan) -> f64 {
    let (address, url) = (aka.grpc, format!("http://{}", aka.grpc));
    let server = LoadServer {
        address,
        others: Vec::new(),
        url,
        tls: None,
        authorization: None,
        timeout_ms: 10_000,
        pids: vec![aka.pid()],
        database_pids: Vec::new(),
    };
    let load = ConnectedLoad::connect(plan, server).await.expect("it is connected");
    let outcome = load.run().await.expect("it runs to its end");
    assert_eq!(outcome.bad(), 0, "{outcome:?}");
    outcome.server.and_then(|server| server.cpu_us_per_id).expect("its own server")
}

/// Reads all ids once.
fn prepare(aka: &Aka, aliases: u32) {
    let output = Command::new(aka_program())
        .args([
            "bench",
            "--prepare",
            "--mode",
            "batch",
            "--batch",
            "1000",
            "--server",
            &aka.grpc.to_string(),
        ])
        .args([
            "--duration",
            "1",
            "--project",
            &PROJECT.to_string(),
            "--keys",
            &(2 * aliases).to_string(),
        ])
        .output()
        .expect("aka bench runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The memory that a process has, in bytes.
fn resident(pid: u32) -> f64 {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).expect("the process runs");
    let pages: f64 = statm.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("a number");
    pages * rustix::param::page_size() as f64
}
