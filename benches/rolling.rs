//! Rolling restarts under load: each way to deploy without a pause. Clients repeat only calls that
//! the server says it has not taken, as every gRPC client does. No call may fail.
//!
//! `cargo bench --bench rolling`, or with flags after `--`:
//!
//! - `--restarts N`: of each way (100);
//! - `--rate R`: single lookups a second, open loop (20,000);
//! - `--way NAME`: only this one: `sockets`, `handover` or `addresses`.
//!
//! The ways are those of docs/deploying.md. `sockets`: a service manager keeps the listening sockets.
//! `handover`: the new process takes them over from the old one. `addresses`: two instances, of which
//! one is restarted at a time; a client goes to the other one when its connection ends.

use aka_load::{ConnectedLoad, IdSet, LoadOutcome, LoadPlan, LoadServer};
use aka_test_support::{Aka, Database, DbServer, Engine, PROJECT, fill_shards, free_port};
use rustix::process::Signal;
use std::cell::Cell;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How long a part of the load lasts. Its clients connect anew for each.
const PART: Duration = Duration::from_secs(10);

/// The ways together end after this time, whatever happens.
const MOST_PARTS: u32 = 120;

struct Plan {
    restarts: u32,
    rate: f64,
    way: Option<String>,
}

impl Plan {
    fn of_arguments() -> Self {
        let mut plan = Self { restarts: 100, rate: 20_000.0, way: None };
        // Cargo itself adds `--bench`.
        let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
        while let Some(argument) = arguments.next() {
            let value = arguments.next().expect("a value");
            match argument.as_str() {
                "--restarts" => plan.restarts = value.parse().expect("a number"),
                "--rate" => plan.rate = value.parse().expect("a number"),
                "--way" => plan.way = Some(value),
                other => panic!("{other} is no flag of this benchmark"),
            }
        }
        plan
    }
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run(&Plan::of_arguments()));
}

async fn run(plan: &Plan) {
    let server = tokio::task::spawn_blocking(|| DbServer::start(Engine::MySql)).await;
    let server = server.expect("the server starts");
    let database = Database::on(&[&server]).await;
    let text = |id: &[u8]| String::from_utf8_lossy(id).into_owned();
    let aliases: Vec<_> =
        ids().aliases().map(|id| (text(&id.id()), text(&id.canonical()))).collect();
    let name = &database.names()[0];
    fill_shards(&[(&server, name)], &aliases).await;
    println!(
        "| way | restarts | seconds | lookups | repeated | failed | wrong | p99, ms | max, ms |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|");
    for way in ["sockets", "handover", "addresses"] {
        if plan.way.as_deref().is_none_or(|wanted| wanted == way) {
            measure(plan, way, &database).await;
        }
    }
}

fn ids() -> IdSet {
    IdSet::new(100_000, 0.5)
}

/// Restarts instances one way, under load from before the first restart until after the last.
async fn measure(plan: &Plan, way: &str, database: &Database) {
    let ports: [u16; 2] = [free_port(), free_port()];
    let (done, began, restarts) = (Cell::new(false), Instant::now(), plan.restarts);
    let (started, begun) = oneshot::channel();
    let restarting = async {
        let left = match way {
            "sockets" => sockets(database, restarts, ports, started).await,
            "handover" => handover(database, restarts, started).await,
            _ => addresses(database, restarts, ports, started).await,
        };
        done.set(true);
        left
    };
    let (mut calls, mut repeated, mut failed, mut wrong) = (0, 0, 0, 0);
    let (mut p99, mut max) = (0.0_f64, 0.0_f64);
    let loading = async {
        let addresses: Vec<SocketAddr> = begun.await.expect("the first instance serves");
        for part in 0.. {
            assert!(part < MOST_PARTS, "the restarts take too long");
            let outcome = load(plan, &addresses).await;
            calls += outcome.reads.calls;
            repeated += outcome.reads.repeated_calls;
            failed += outcome.reads.failed + outcome.reads.unsent_calls;
            wrong += outcome.reads.wrong;
            p99 = p99.max(outcome.reads.latency_us.p99 / 1e3);
            max = max.max(outcome.reads.latency_us.max / 1e3);
            if outcome.reads.failed > 0 {
                eprintln!("{way}: {:?}", outcome.reads.errors);
            }
            if done.get() {
                break;
            }
        }
    };
    // The last instances serve until the load has ended.
    let (left, ()) = tokio::join!(restarting, loading);
    drop(left);
    let seconds = began.elapsed().as_secs();
    println!(
        "| {way} | {restarts} | {seconds} | {calls} | {repeated} | {failed} | {wrong} | {p99:.1} | {max:.1} |"
    );
    assert_eq!((failed, wrong), (0, 0), "{way}");
}

async fn load(plan: &Plan, addresses: &[SocketAddr]) -> LoadOutcome {
    let load = LoadPlan {
        rate: Some(plan.rate),
        connections: 8,
        concurrency: 2_000,
        zipf: 0.99,
        duration: PART,
        warm_up: Duration::ZERO,
        ..LoadPlan::new(PROJECT, ids())
    };
    let server = LoadServer {
        address: addresses[0],
        others: addresses[1..].to_vec(),
        url: format!("http://{}", addresses[0]),
        tls: None,
        authorization: None,
        timeout_ms: 10_000,
        // The processes end.
        pids: vec![std::process::id()],
        database_pids: Vec::new(),
    };
    let load = ConnectedLoad::connect(load, server).await.expect("it is connected");
    load.run().await.expect("it runs to its end")
}

/// Tells where the first instances serve.
type Started = oneshot::Sender<Vec<SocketAddr>>;

async fn sockets(
    database: &Database,
    restarts: u32,
    ports: [u16; 2],
    started: Started,
) -> Vec<Aka> {
    let sockets = ports.map(|port| TcpListener::bind(("127.0.0.1", port)).expect("a free port"));
    let mut aka = Aka::serve_on(database, &sockets, &[]).await;
    started.send(vec![aka.grpc]).expect("it is waited for");
    for _ in 0..restarts {
        stop(&aka).await;
        aka = Aka::serve_on(database, &sockets, &[]).await;
    }
    vec![aka]
}

async fn handover(database: &Database, restarts: u32, started: Started) -> Vec<Aka> {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("handover").display().to_string();
    let flags = ["--handover", path.as_str()];
    let mut aka = Aka::serve(database, &flags).await;
    started.send(vec![aka.grpc]).expect("it is waited for");
    for _ in 0..restarts {
        let next = Aka::serve(database, &flags).await;
        assert!(aka.ended().await.success());
        aka = next;
    }
    vec![aka]
}

async fn addresses(
    database: &Database,
    restarts: u32,
    ports: [u16; 2],
    started: Started,
) -> Vec<Aka> {
    let listen = ports.map(|port| format!("127.0.0.1:{port}"));
    let mut instances =
        vec![serve_at(database, &listen[0]).await, serve_at(database, &listen[1]).await];
    started.send(instances.iter().map(|aka| aka.grpc).collect()).expect("it is waited for");
    for index in (0..2).cycle().take(restarts as usize) {
        stop(&instances[index]).await;
        instances[index] = serve_at(database, &listen[index]).await;
    }
    instances
}

async fn serve_at(database: &Database, listen: &str) -> Aka {
    Aka::serve(database, &["--listen", listen, "--drain-delay-ms", "100"]).await
}

async fn stop(aka: &Aka) {
    aka.signal(Signal::TERM);
    assert!(aka.ended().await.success());
}
