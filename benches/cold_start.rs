//! A cold start under load: an instance over four MySQL shards is asked from its first second on.
//!
//! `cargo bench --profile dist --bench cold_start`, or with flags after `--`:
//!
//! - `--keys N`: ids that are asked for, half of them aliases (2,000,000);
//! - `--rate R`: single lookups a second, open loop (50,000);
//! - `--seconds S`: for how long (60);
//! - `--ready`: ask only from when the instance says that it is ready;
//! - `--restart`: start the instance once before, ask it for ten seconds, and stop it: what memory
//!   held is on disk then;
//! - all that follows a second `--` are flags of `aka serve`.
//!
//! The skew is Zipf 0.99; 1 % of the lookups are for ids never seen before; 100 aliases a second are
//! created. Every answer is checked. Each window of five seconds is a line.

use aka_load::{ConnectedLoad, IdSet, LoadOutcome, LoadPlan, LoadServer};
use aka_test_support::{Aka, Database, DbServer, Engine, PROJECT, fill_shards};
use std::time::{Duration, Instant};

const SHARDS: usize = 4;

struct Plan {
    keys: u32,
    rate: f64,
    seconds: u64,
    ready: bool,
    restart: bool,
    flags: Vec<String>,
}

impl Plan {
    fn of_arguments() -> Self {
        let mut plan = Self {
            keys: 2_000_000,
            rate: 50_000.0,
            seconds: 60,
            ready: false,
            restart: false,
            flags: Vec::new(),
        };
        // Cargo itself adds `--bench`.
        let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
        while let Some(argument) = arguments.next() {
            let mut number = || -> u64 {
                arguments.next().and_then(|text| text.parse().ok()).expect("a number")
            };
            match argument.as_str() {
                "--keys" => plan.keys = u32::try_from(number()).expect("a number of keys"),
                "--rate" => plan.rate = number() as f64,
                "--seconds" => plan.seconds = number(),
                "--ready" => plan.ready = true,
                "--restart" => plan.restart = true,
                "--" => plan.flags = arguments.by_ref().collect(),
                other => panic!("{other} is no flag of this benchmark"),
            }
        }
        plan
    }

    fn ids(&self) -> IdSet {
        IdSet::new(self.keys, 0.5)
    }
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run(&Plan::of_arguments()));
}

async fn run(plan: &Plan) {
    let started = tokio::task::spawn_blocking(|| {
        let options = ["--innodb-buffer-pool-size=1G", "--innodb-redo-log-capacity=512M"];
        [(); SHARDS].map(|()| DbServer::start_with(Engine::MySql, &options))
    });
    let servers = started.await.expect("the servers start");
    let servers: Vec<&DbServer> = servers.iter().collect();
    let database = Database::on(&servers).await;
    let names = database.names();
    let shards: Vec<_> = servers.iter().copied().zip(names.iter().map(String::as_str)).collect();
    let text = |id: &[u8]| String::from_utf8_lossy(id).into_owned();
    let aliases = plan.ids().aliases().map(|id| (text(&id.id()), text(&id.canonical())));
    let filled = fill_shards(&shards, &aliases.collect::<Vec<_>>()).await;

    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let folder = folder.path().display().to_string();
    let mut flags: Vec<&str> = plan.flags.iter().map(String::as_str).collect();
    if plan.restart {
        flags.extend(["--filter-dir", &folder]);
        let began = Instant::now();
        let aka = Aka::serve_with_defaults(&database, &flags).await;
        if plan.ready {
            warm(&aka).await;
            println!("the start before: ready after {:.2} s", began.elapsed().as_secs_f64());
        }
        load(plan, &aka, &servers, 10).await;
        let status = aka.stop().await;
        assert!(status.success(), "{status}");
    }
    let began = Instant::now();
    let aka = Aka::serve_with_defaults(&database, &flags).await;
    let serving = began.elapsed().as_secs_f64();
    if plan.ready {
        warm(&aka).await;
    }
    let ready = began.elapsed().as_secs_f64();
    println!(
        "{filled} aliases on {SHARDS} shards; serving after {serving:.2} s, asked from {ready:.2} s on"
    );
    let outcome = load(plan, &aka, &servers, plan.seconds).await;
    println!(
        "| from, s | ids/s | p50, ms | p99, ms | max, ms | failed | behind | µs CPU a lookup: aka | databases |"
    );
    println!("|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    for window in &outcome.windows {
        let ms = |us: f64| us / 1e3;
        println!(
            "| {:.0} | {:.0} | {:.2} | {:.2} | {:.2} | {} | {} | {:.2} | {:.2} |",
            window.from_seconds,
            window.ids_per_second,
            ms(window.latency_us.p50),
            ms(window.latency_us.p99),
            ms(window.latency_us.max),
            window.failed,
            window.calls_behind,
            window.server_cpu_us_per_id.unwrap_or(f64::NAN),
            window.databases_cpu_us_per_id.unwrap_or(f64::NAN),
        );
    }
    let queries = aka.metric("aka_lookup_queries_total", &[]).await;
    let keys = aka.metric("aka_lookup_query_keys_sum", &[]).await;
    println!("{keys} keys in {queries} queries; errors: {:?}", outcome.reads.errors);
    assert_eq!(outcome.reads.wrong, 0, "{:?}", outcome.reads.first_wrong);
}

/// Waits until the instance says that its memory is warm.
async fn warm(aka: &Aka) {
    while aka.logged("\"ready\"").is_empty() {
        let cold = aka.logged("\"ready, though");
        assert!(cold.is_empty(), "it did not get warm in time: {cold:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn load(plan: &Plan, aka: &Aka, servers: &[&DbServer], seconds: u64) -> LoadOutcome {
    let load = LoadPlan {
        rate: Some(plan.rate),
        connections: 8,
        // More than a connection may have at once.
        concurrency: 2_000,
        zipf: 0.99,
        cold: 0.01,
        writes: Some(100.0),
        duration: Duration::from_secs(seconds),
        warm_up: Duration::ZERO,
        window: Some(Duration::from_secs(5)),
        ..LoadPlan::new(PROJECT, plan.ids())
    };
    let server = LoadServer {
        address: aka.grpc,
        others: Vec::new(),
        url: format!("http://{}", aka.grpc),
        tls: None,
        authorization: None,
        timeout_ms: 10_000,
        pids: vec![aka.pid()],
        database_pids: servers.iter().filter_map(|server| server.pid()).collect(),
    };
    let load = ConnectedLoad::connect(load, server).await.expect("it is connected");
    load.run().await.expect("it runs to its end")
}
