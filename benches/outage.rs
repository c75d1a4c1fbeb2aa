//! The cost of a sick shard, the time until it is well again, and the cost of an idle feed.
//!
//! `cargo bench --bench outage` starts three MySQL servers with a proxy before each, and three
//! instances with default settings. For the first 30 s there are no requests. Then one server is
//! behind a black hole for 10 s, while clients read the ids of all shards on all instances.

use aka_test_support::proxy::{Mode, Proxy};
use aka_test_support::{
    Aka, Database, DbServer, Engine, PROJECT, cpu_time, create_request, percentile, resolve_request,
};
use aka_wire::pb::resolver_client::ResolverClient;
use sqlx::Row;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::Request;
use tonic::transport::Channel;

const SHARDS: usize = 3;
const INSTANCES: usize = 3;
const SICK: usize = 1;
const IDLE: Duration = Duration::from_secs(30);
const BLACK_HOLE: Duration = Duration::from_secs(10);
const AFTERWARDS: Duration = Duration::from_secs(8);

/// Ids of each shard.
const IDS: usize = 50;

/// How long a client waits.
const DEADLINE: Duration = Duration::from_secs(5);

fn main() {
    let servers: Vec<DbServer> = (0..SHARDS).map(|_| DbServer::start(Engine::MySql)).collect();
    tokio::runtime::Runtime::new().expect("a runtime").block_on(run(&servers));
}

async fn run(servers: &[DbServer]) {
    let database = Database::on(&servers.iter().collect::<Vec<_>>()).await;
    let mut proxies = Vec::new();
    for server in servers {
        proxies.push(Proxy::start(server.port()).await);
    }
    let names = database.names();
    let urls = proxies.iter().zip(&names).map(|(proxy, name)| proxy.url(name)).collect();
    let database = Database::at(urls);
    let mut instances = Vec::new();
    for _ in 0..INSTANCES {
        instances.push(Aka::serve_with_defaults(&database, &[]).await);
    }
    idle(servers, &instances).await;
    black_hole(&database, &proxies[SICK], &instances).await;
}

async fn idle(servers: &[DbServer], instances: &[Aka]) {
    // The measurement begins after the start, whose cost does not count.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let began = Instant::now();
    let before = costs(servers, instances).await;
    tokio::time::sleep(IDLE).await;
    let after = costs(servers, instances).await;
    let seconds = began.elapsed().as_secs_f64();
    let spent = |index: usize| (after[index] - before[index]) / seconds;
    let feeds = (SHARDS * INSTANCES) as f64;
    println!("outage/idle: {:.1} polls a second, shard and instance", spent(0) / feeds);
    println!("outage/idle: {:.1} statements a second and server", spent(1) / SHARDS as f64);
    println!("outage/idle: {:.2} % of a core an instance", 100.0 * spent(2) / INSTANCES as f64);
    println!(
        "outage/idle: {:.2} % of a core a server that {INSTANCES} instances follow",
        100.0 * spent(3) / SHARDS as f64
    );
}

/// Totals: polls, statements, CPU seconds of aka, CPU seconds of the servers.
async fn costs(servers: &[DbServer], instances: &[Aka]) -> [f64; 4] {
    let mut statements = 0.0;
    for server in servers {
        let mut connection = server.connect().await;
        let asked = sqlx::query("SHOW GLOBAL STATUS LIKE 'Questions'").fetch_one(&mut connection);
        let text: String = asked.await.expect("a status").get(1);
        statements += text.parse::<f64>().expect("a number");
    }
    let mut polls = 0.0;
    for aka in instances {
        polls += aka.metric("aka_feed_looks_total", &[]).await;
    }
    let seconds = |pid| cpu_time(pid).expect("the process runs").as_secs_f64();
    let of = |pids: &mut dyn Iterator<Item = u32>| pids.map(seconds).sum();
    [
        polls,
        statements,
        of(&mut instances.iter().map(Aka::pid)),
        of(&mut servers.iter().filter_map(DbServer::pid)),
    ]
}

/// One read.
struct Seen {
    instance: usize,
    shard: usize,
    began: Instant,
    took: Duration,
    /// Whether it was answered, with an answer that is not degraded.
    fresh: bool,
    failed: bool,
}

async fn black_hole(database: &Database, proxy: &Proxy, instances: &[Aka]) {
    let ids = |shard| database.ids_on(shard, PROJECT, "device", IDS);
    let ids: Vec<Vec<String>> = (0..SHARDS).map(ids).collect();
    let mut admin = instances[0].admin();
    for id in ids.iter().flatten() {
        admin
            .create_alias(create_request(PROJECT, id, format!("user-of-{id}")))
            .await
            .expect("created");
    }
    let stop = CancellationToken::new();
    let mut readers = JoinSet::new();
    for (instance, aka) in instances.iter().enumerate() {
        for (shard, ids) in ids.iter().enumerate() {
            let (resolver, ids, stop) =
                (ResolverClient::new(aka.new_channel()), ids.clone(), stop.clone());
            readers.spawn(read(resolver, instance, shard, ids, stop));
        }
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let sick = Instant::now();
    proxy.set(Mode::BlackHole);
    tokio::time::sleep(BLACK_HOLE).await;
    proxy.set(Mode::Pass);
    let healed = Instant::now();
    tokio::time::sleep(AFTERWARDS).await;
    stop.cancel();
    let seen: Vec<Seen> = readers.join_all().await.into_iter().flatten().collect();

    let during = |seen: &&Seen| seen.began >= sick && seen.began < healed;
    for (what, others) in [("the sick shard", false), ("the others", true)] {
        let reads = || seen.iter().filter(during).filter(|seen| (seen.shard != SICK) == others);
        let mut took: Vec<Duration> = reads().map(|seen| seen.took).collect();
        took.sort_unstable();
        println!(
            "outage/black hole of {BLACK_HOLE:?}, ids of {what}: {} reads, {} fresh, {} failed; \
             p50 {:.1?}, p99 {:.1?}, max {:.1?}",
            took.len(),
            reads().filter(|seen| seen.fresh).count(),
            reads().filter(|seen| seen.failed).count(),
            percentile(&took, 50.0),
            percentile(&took, 99.0),
            took.last().expect("a read"),
        );
    }
    for instance in 0..INSTANCES {
        let reads = seen.iter().filter(|seen| seen.instance == instance && seen.shard == SICK);
        // The outage ends with the last read that was not fresh.
        let ill = reads.filter(|seen| !seen.fresh && seen.began + seen.took > healed);
        let well = ill.map(|seen| seen.began + seen.took - healed).max().unwrap_or_default();
        println!("outage/healed on instance {instance}: {well:.1?} after the end");
    }
}

async fn read(
    mut resolver: ResolverClient<Channel>,
    instance: usize,
    shard: usize,
    ids: Vec<String>,
    stop: CancellationToken,
) -> Vec<Seen> {
    let mut seen = Vec::new();
    for id in ids.iter().cycle() {
        if stop.is_cancelled() {
            break;
        }
        let mut request = Request::new(resolve_request(PROJECT, id));
        request.set_timeout(DEADLINE);
        let began = Instant::now();
        let answer = resolver.resolve(request).await;
        let took = began.elapsed();
        let fresh = answer.as_ref().is_ok_and(|answer| !answer.get_ref().degraded);
        seen.push(Seen { instance, shard, began, took, fresh, failed: answer.is_err() });
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    seen
}
