//! A shard that fails over: what readers and writers see of a killed and of a switched primary.
//!
//! `cargo bench --bench failover -- --rounds 20` runs a real three-node MySQL group, two instances with
//! default settings, 1,000 creates a second, and readers with and without tokens. In each round the
//! primary is killed with SIGKILL and joins again, and then it is switched in order. Every
//! acknowledged write is looked for at the end.

use aka_test_support::{Aka, Database, MySqlGroup, PROJECT, median, percentile, run_aka};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::Code;

/// Tasks that write, and creates a second of each.
const WRITERS: u64 = 20;
const WRITES_PER_S: u64 = 50;

/// Reads a second of each instance: as many without a token as with one.
const READS_PER_S: u64 = 200;

/// The default staleness limit.
const STALENESS: Duration = Duration::from_secs(1);

/// How long a group may take to have a primary again.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let rounds = args.iter().position(|arg| arg == "--rounds").and_then(|at| args.get(at + 1));
    let rounds = rounds.map_or(3, |rounds| rounds.parse().expect("a number of rounds"));
    tokio::runtime::Runtime::new().expect("a runtime").block_on(run(rounds));
}

/// What has happened so far.
#[derive(Default)]
struct Seen {
    acknowledged: Mutex<Vec<Acknowledged>>,
    /// Errors by what was called and their code.
    errors: Mutex<HashMap<(&'static str, Code), u64>>,
    /// When each degraded answer came, and how long it took.
    degraded: Mutex<Vec<(Instant, Duration)>>,
    unmarked: AtomicU64,
    /// Unmarked answers that lack a write from before the staleness limit.
    stale: AtomicU64,
    /// Answers to readers with a token that lack its write.
    broken_tokens: AtomicU64,
    last_write: Mutex<Option<Instant>>,
}

#[derive(Clone)]
struct Acknowledged {
    alias: String,
    token: String,
    at: Instant,
}

impl Seen {
    fn error(&self, call: &'static str, code: Code) {
        *self.errors.lock().entry((call, code)).or_default() += 1;
    }
}

async fn run(rounds: usize) {
    let group = MySqlGroup::start().await;
    let database = Database::at(vec![group.url()]);
    let migrated = run_aka("migrate", &database.flags()).await;
    assert!(migrated.status.success(), "{migrated:?}");
    let mut instances = Vec::new();
    for _ in 0..2 {
        instances.push(Arc::new(Aka::serve_with_defaults(&database, &[]).await));
    }
    let (seen, stop) = (Arc::new(Seen::default()), CancellationToken::new());
    let mut load = JoinSet::new();
    for number in 0..WRITERS {
        let aka = instances[number as usize % instances.len()].clone();
        load.spawn(write(aka, seen.clone(), stop.clone(), number));
    }
    for (number, aka) in instances.iter().enumerate() {
        load.spawn(read(aka.clone(), seen.clone(), stop.clone(), number as u64, false));
        load.spawn(read(aka.clone(), seen.clone(), stop.clone(), number as u64, true));
    }
    sleep(Duration::from_secs(3)).await;
    let mut figures = [Figures::default(), Figures::default()];
    for round in 1..=rounds {
        for (kill, figures) in [true, false].into_iter().zip(&mut figures) {
            break_primary(&group, &seen, kill, figures).await;
            println!("round {round}, {}: {figures:?}", if kill { "kill" } else { "switch" });
        }
    }
    stop.cancel();
    load.join_all().await;
    report(&seen, &figures);
    find_all(&seen, &instances[0]).await;
    let checked = run_aka("check", &database.flags()).await;
    println!("aka check: {}", if checked.status.success() { "clean" } else { "PROBLEMS" });
}

/// Creates aliases at a steady pace. A create that waits holds up the later ones of its task.
async fn write(aka: Arc<Aka>, seen: Arc<Seen>, stop: CancellationToken, number: u64) {
    let mut ticks = interval(Duration::from_micros(1_000_000 / WRITES_PER_S));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    for count in 0_u64.. {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let alias = format!("w{number}-{count}");
        match aka.create(PROJECT, &alias, format!("of-{alias}")).await {
            Ok(answer) => {
                let (token, at) = (answer.consistency_token, Instant::now());
                seen.acknowledged.lock().push(Acknowledged { alias, token, at });
                *seen.last_write.lock() = Some(at);
            }
            Err(status) => seen.error("create", status.code()),
        }
    }
}

/// Reads aliases that were acknowledged: a moment ago with their tokens, or longer ago than the
/// staleness limit without.
async fn read(aka: Arc<Aka>, seen: Arc<Seen>, stop: CancellationToken, seed: u64, token: bool) {
    let mut ticks = interval(Duration::from_micros(1_000_000 / READS_PER_S));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut reads = JoinSet::new();
    for count in seed.. {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = ticks.tick() => {}
        }
        while reads.try_join_next().is_some() {}
        let Some(wanted) = pick(&seen, count, token) else { continue };
        let (aka, seen) = (aka.clone(), seen.clone());
        reads.spawn(async move { read_one(&aka, &seen, &wanted, token).await });
    }
    reads.join_all().await;
}

fn pick(seen: &Seen, count: u64, newest: bool) -> Option<Acknowledged> {
    let acknowledged = seen.acknowledged.lock();
    if newest {
        return acknowledged.last().cloned();
    }
    let old = acknowledged.partition_point(|it| it.at.elapsed() > STALENESS);
    // A multiplier of a linear congruential generator spreads the picks.
    let index = count.wrapping_mul(6_364_136_223_846_793_005) >> 33;
    acknowledged[..old].get(usize::try_from(index).ok()?.checked_rem(old)?).cloned()
}

async fn read_one(aka: &Aka, seen: &Seen, wanted: &Acknowledged, token: bool) {
    let began = Instant::now();
    let Acknowledged { alias, token: its_token, .. } = wanted;
    let call = if token { "resolve with a token" } else { "resolve" };
    match aka.resolve_as_of(PROJECT, alias, if token { its_token } else { "" }).await {
        Ok(answer) if answer.degraded && !token => {
            seen.degraded.lock().push((Instant::now(), began.elapsed()));
        }
        Ok(answer) => {
            seen.unmarked.fetch_add(1, Ordering::Relaxed);
            if !answer.is_alias || answer.degraded {
                let wrong = if token { &seen.broken_tokens } else { &seen.stale };
                wrong.fetch_add(1, Ordering::Relaxed);
            }
        }
        Err(status) => seen.error(call, status.code()),
    }
}

/// The figures of one kind of break, in milliseconds, one for each round.
#[derive(Default, Debug)]
struct Figures {
    /// Until the first degraded answer.
    first_degraded: Vec<f64>,
    /// The 99th percentile of the latencies of the degraded answers after the first 1.1 s.
    degraded_p99: Vec<f64>,
    /// Until another server took writes.
    election: Vec<f64>,
    /// From then until a create was acknowledged.
    writes_back: Vec<f64>,
}

async fn break_primary(group: &MySqlGroup, seen: &Seen, kill: bool, figures: &mut Figures) {
    let old = timeout(PATIENCE, primary(group, None)).await.expect("a primary");
    seen.degraded.lock().clear();
    let began = Instant::now();
    match kill {
        true => group.node(old).kill(),
        false => group.switch_primary((old + 1) % 3).await,
    }
    let new = timeout(PATIENCE, primary(group, Some(old))).await.expect("another primary");
    assert_ne!(new, old);
    let elected = Instant::now();
    let back = timeout(PATIENCE, async {
        loop {
            match *seen.last_write.lock() {
                Some(at) if at > elected => return at,
                _ => {}
            }
            sleep(Duration::from_millis(1)).await;
        }
    });
    let back = back.await.expect("writes come back");
    let milliseconds = |span: Duration| span.as_secs_f64() * 1e3;
    figures.election.push(milliseconds(elected - began));
    figures.writes_back.push(milliseconds(back - elected));
    if kill {
        group.rejoin(old).await;
    }
    sleep(Duration::from_secs(3)).await;
    let degraded = std::mem::take(&mut *seen.degraded.lock());
    if let Some((first, _)) = degraded.first() {
        figures.first_degraded.push(milliseconds(*first - began));
    }
    let settled = degraded.iter().filter(|(at, _)| *at - began > Duration::from_millis(1_100));
    let mut settled: Vec<Duration> = settled.map(|(_, latency)| *latency).collect();
    if !settled.is_empty() {
        settled.sort_unstable();
        figures.degraded_p99.push(milliseconds(percentile(&settled, 99.0)));
    }
}

/// The server that takes writes, if it is not `old`. Waits for one.
async fn primary(group: &MySqlGroup, old: Option<usize>) -> usize {
    loop {
        for number in (0..3).filter(|&number| Some(number) != old) {
            if group.takes_writes(number).await {
                return number;
            }
        }
        sleep(Duration::from_millis(5)).await;
    }
}

fn report(seen: &Seen, figures: &[Figures; 2]) {
    for (what, figures) in ["kill -9", "planned switch"].into_iter().zip(figures) {
        println!("{what}, {} rounds (median, greatest; ms):", figures.election.len());
        for (name, values) in [
            ("until the first degraded answer", &figures.first_degraded),
            ("p99 of degraded answers after 1.1 s", &figures.degraded_p99),
            ("until another server takes writes", &figures.election),
            ("from then until a write is acknowledged", &figures.writes_back),
        ] {
            let greatest = values.iter().copied().fold(0.0, f64::max);
            match median(values.clone()) {
                None => println!("  {name}: none"),
                Some(median) => println!("  {name}: {median:.0}, {greatest:.0}"),
            }
        }
    }
    let unmarked = seen.unmarked.load(Ordering::Relaxed);
    println!("unmarked answers: {unmarked}");
    println!("older than the staleness limit: {}", seen.stale.load(Ordering::Relaxed));
    println!("broken tokens: {}", seen.broken_tokens.load(Ordering::Relaxed));
    let errors = seen.errors.lock();
    let mut errors: Vec<_> = errors.iter().map(|(at, count)| (format!("{at:?}"), count)).collect();
    errors.sort();
    println!("errors: {errors:?}");
}

/// Looks for every acknowledged write.
async fn find_all(seen: &Seen, aka: &Aka) {
    let acknowledged = std::mem::take(&mut *seen.acknowledged.lock());
    let mut lost = 0;
    for some in acknowledged.chunks(1_000) {
        let answer = aka.batch_resolve(PROJECT, some.iter().map(|it| &it.alias)).await;
        let answer = answer.expect("a batch is answered");
        lost += some.len() - answer.aliases.len();
    }
    println!("acknowledged writes: {}, lost: {lost}", acknowledged.len());
}
