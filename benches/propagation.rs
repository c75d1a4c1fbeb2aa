//! How soon another instance sees an acknowledged write while all is healthy.
//!
//! `cargo bench --bench propagation` starts three MySQL shards and three instances. The first
//! instance gets about 500 creates a second (open loop). Some of the ids are also read on another
//! instance: once before the write, so that the instance remembers "no alias", and after it until
//! the answer is right. A sample is the time from the acknowledgement to the end of the first right
//! answer.

use aka_test_support::{
    Aka, Database, Engine, PROJECT, create_request, percentile, resolve_request, shared_server,
};
use aka_wire::pb::resolver_client::ResolverClient;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tonic::transport::Channel;

const SHARDS: usize = 3;
const WRITES_A_SECOND: u64 = 500;
const LASTS: Duration = Duration::from_secs(30);

/// One write of so many is read on another instance.
const SAMPLED: u64 = 10;

/// The most writes under way at once. If the machine cannot keep up, the printed rate shows it.
const AT_ONCE: usize = 256;

fn main() {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(run());
}

async fn run() {
    let server = shared_server(Engine::MySql);
    server.execute("SET GLOBAL innodb_redo_log_capacity = 1073741824").await;
    let database = Database::on(&[server; SHARDS]).await;
    let mut instances = Vec::new();
    for _ in 0..3 {
        instances.push(Aka::serve_with_defaults(&database, &[]).await);
    }
    let admin = instances[0].admin();
    let readers = [instances[1].resolver(), instances[2].resolver()];

    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut writes = JoinSet::new();
    let mut ticks = interval(Duration::from_secs(1) / WRITES_A_SECOND as u32);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let began = Instant::now();
    for number in 0..WRITES_A_SECOND * LASTS.as_secs() {
        ticks.tick().await;
        let place = places.clone().acquire_owned().await.expect("never closed");
        let mut admin = admin.clone();
        let sampled = number.is_multiple_of(SAMPLED);
        let reader = sampled.then(|| readers[(number / SAMPLED) as usize % 2].clone());
        writes.spawn(async move {
            let (alias, canonical) = (format!("device-{number}"), format!("user-{number}"));
            let mut reader = reader;
            if let Some(reader) = &mut reader {
                let before =
                    reader.resolve(resolve_request(PROJECT, &alias)).await.expect("resolved");
                assert!(!before.into_inner().is_alias);
            }
            let sent = Instant::now();
            admin.create_alias(create_request(PROJECT, &alias, &canonical)).await.expect("created");
            let acknowledged = Instant::now();
            drop(place);
            let seen = match &mut reader {
                Some(reader) => Some(until_seen(reader, &alias, acknowledged).await),
                None => None,
            };
            (acknowledged - sent, seen)
        });
    }
    let (mut took, mut seen) = (Vec::new(), Vec::new());
    for (write, sample) in writes.join_all().await {
        took.push(write);
        seen.extend(sample);
    }
    let rate = took.len() as f64 / began.elapsed().as_secs_f64();
    report(&format!("write acknowledged, {rate:.0} a second"), took);
    report("seen on another instance after the acknowledgement", seen);
}

async fn until_seen(
    reader: &mut ResolverClient<Channel>,
    alias: &str,
    acknowledged: Instant,
) -> Duration {
    loop {
        let answer =
            reader.resolve(resolve_request(PROJECT, alias)).await.expect("resolved").into_inner();
        if answer.is_alias {
            return acknowledged.elapsed();
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn report(what: &str, mut samples: Vec<Duration>) {
    samples.sort_unstable();
    let [p50, p90, p99] = [50.0, 90.0, 99.0].map(|percent| percentile(&samples, percent));
    let greatest = samples.last().expect("a sample");
    println!(
        "propagation/{what}: p50 {p50:.1?}, p90 {p90:.1?}, p99 {p99:.1?}, max {greatest:.1?} of {}",
        samples.len()
    );
}
