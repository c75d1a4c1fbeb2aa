//! The fault test: three instances of aka over three MySQL servers. Clients write and read through
//! all instances while faults of every kind happen, and a history is written down. Afterwards the
//! history is checked against the promises (P1 to P8, P11), and every instance is compared with the
//! tables.
//!
//! `AKA_FAULT_SECONDS` says how long the faults go on (default: a minute; at least one fault of
//! each kind happens). `AKA_FAULT_SEED` decides which faults happen, and when. The seed is printed.

mod agreement;
mod canary;
mod checker;
mod checker_fails;
mod faults;
mod history;
mod reader;
mod site;
mod timeline;
mod writer;

use aka_test_support::{Database, PROJECT};
use faults::{Schedule, inflict};
use history::{History, Outcome};
use reader::World;
use site::{INSTANCES, SHARDS, Site};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::JoinSet;

/// The staleness limit that the instances run with, and that the checker uses.
const STALENESS: Duration = Duration::from_secs(1);

/// Longer timeouts than in production, because a healthy shard on a busy machine must not look
/// sick.
const FLAGS: [&str; 6] =
    ["--staleness-limit-ms", "1000", "--query-timeout-ms", "3000", "--connect-timeout-ms", "2000"];

/// How soon everything must be well again after a fault, on a busy machine. (The promise is 5 s.)
const HEALED: Duration = Duration::from_secs(20);

/// Ids of each shard; few, so that reads and writes meet.
const KEYS: usize = 16;
const WRITERS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_break_no_promise() {
    let seconds = number("AKA_FAULT_SECONDS").unwrap_or(60);
    let seed = number("AKA_FAULT_SEED").unwrap_or_else(rand::random);
    println!("AKA_FAULT_SEED={seed} AKA_FAULT_SECONDS={seconds}");
    let site = Site::start(&FLAGS).await;
    let history = History::new(keys(&site.database()));
    let world = World::new(site, history);
    let clients = clients(&world, seed);

    let mut schedule = Schedule::new(seed);
    let (mut slowest, end) = (Duration::ZERO, world.history.now() + Duration::from_secs(seconds));
    loop {
        tokio::time::sleep(schedule.calm()).await;
        let first_round_over = schedule.drawn() >= Schedule::ROUND;
        if first_round_over && world.history.now() >= end {
            break;
        }
        slowest = slowest.max(inflict(&world, schedule.draw()).await);
    }
    world.stop.cancel();
    clients.join_all().await;

    let mut violations = checker::check(&world.history, STALENESS);
    violations.extend(agreement::check(&world).await);
    println!("{}", checker::summary(&world.history));
    println!("{}", canary::summary(&world));
    println!("the slowest recovery took {slowest:.2?}");
    report(&violations);
    assert!(slowest < HEALED, "it took {slowest:?} until everything was well again");
    agreement::check_invariants(&world).await;
    assert_something_happened(&world);
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is {text:?}, which is no number")))
}

fn keys(database: &Database) -> Vec<(String, usize)> {
    let on = |shard| database.ids_on(shard, PROJECT, "k", KEYS).into_iter().zip([shard; KEYS]);
    (0..SHARDS).flat_map(on).collect()
}

/// Starts all readers and writers. They go on until the world stops.
fn clients(world: &std::sync::Arc<World>, seed: u64) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    let mut seeds = (0..).map(|number| seed.wrapping_add(number));
    let mut seed = || seeds.next().expect("endless");
    for shard in 0..SHARDS {
        clients.spawn(canary::run(world.clone(), shard));
        for instance in 0..INSTANCES {
            clients.spawn(reader::run(world.clone(), instance, shard, seed()));
        }
        let keys: Vec<usize> = world.history.keys_on(shard).map(|(index, _)| index).collect();
        for keys in keys.chunks(KEYS.div_ceil(WRITERS)) {
            clients.spawn(writer::run(world.clone(), shard, keys.to_vec(), seed()));
        }
    }
    clients
}

/// Shows the first few violations, and all details of the first violation of each promise.
#[track_caller]
fn report(violations: &[checker::Violation]) {
    let mut count = BTreeMap::<_, usize>::new();
    for violation in violations {
        let seen = count.entry(violation.promise).or_default();
        *seen += 1;
        let lines = if *seen == 1 { usize::MAX } else { 2 };
        if *seen <= 10 {
            let text: Vec<&str> = violation.text.lines().take(lines).collect();
            println!("{}: {}", violation.promise, text.join("\n"));
        }
    }
    assert!(violations.is_empty(), "broken promises: {count:?}");
}

/// Enough writes and reads succeeded. Otherwise the test would find nothing.
fn assert_something_happened(world: &World) {
    let writes = || world.history.keys.iter().flat_map(history::KeyHistory::writes);
    let acknowledged = writes().filter(history::Write::acknowledged).count();
    assert!(acknowledged > 200, "only {acknowledged} writes were acknowledged");
    assert!(writes().any(|write| matches!(write.outcome, Outcome::Unknown(_))));
    let reads: Vec<_> = world.history.keys.iter().flat_map(history::KeyHistory::reads).collect();
    let fresh = |read: &&history::Read| read.answer.as_ref().is_ok_and(|seen| !seen.degraded);
    let (fresh, all) = (reads.iter().filter(fresh).count(), reads.len());
    assert!(fresh > 1_000 && fresh < all, "{fresh} of {all} reads were answered afresh");
}
