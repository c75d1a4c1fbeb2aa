//! A run from its start to its end: threads, the clock, the server's CPU time.

use super::args::BenchArgs;
use super::cpu::Process;
use super::crew::{self, Orders, Report, Times, ended_early};
use super::keys::Keys;
use super::progress::Progress;
use super::tally::{Live, Tally};
use super::wire::Target;
use crate::cli::fault::CliFault;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};

/// From the order to begin to the first call, so that all threads have heard it.
const HEAD_START: Duration = Duration::from_millis(5);

/// All that a run has found out.
pub(super) struct Outcome {
    pub reads: Tally,
    pub writes: Option<Tally>,
    /// Whose CPU time `server` is.
    pub servers: Vec<Process>,
    pub server: Option<Duration>,
    pub generator: Option<Duration>,
}

pub(super) async fn run(
    args: Arc<BenchArgs>,
    target: Target,
    keys: Keys,
) -> Result<Outcome, CliFault> {
    let mut servers: Vec<_> = args.server_pid.iter().copied().map(Process).collect();
    if servers.is_empty() {
        servers.extend(Process::listening_on(target.address));
    }
    if let Some(Process(pid)) = servers.iter().find(|server| server.cpu_time().is_none()) {
        return Err(CliFault::Usage(format!("--server-pid: there is no process {pid}")));
    }
    let live = Arc::new(Live::default());
    let (send_times, times) = watch::channel(None);
    let mut reports = Vec::new();
    for orders in orders(&args, &target, keys, &live) {
        reports.push(start(orders, times.clone()).await?);
    }
    let start = Instant::now() + HEAD_START;
    let begin = start + args.warm_up;
    let times = Times { start, begin, end: begin + args.duration };
    if send_times.send(Some(times)).is_err() {
        return Err(ended_early());
    }

    let cpu_times = || (cpu_time(&servers), cpu_time(&[Process::current()]));
    let mut progress = Progress::new(live, args.warm_up + args.duration);
    progress.watch_until(times.begin).await;
    let before = cpu_times();
    progress.watch_until(times.end).await;
    let after = cpu_times();
    let spent =
        |before: Option<Duration>, after: Option<Duration>| Some(after?.saturating_sub(before?));
    let (server, generator) = (spent(before.0, after.0), spent(before.1, after.1));

    let mut reads = Tally::new(times.begin, times.end)?;
    let mut writes = args.writes.map(|_| Tally::new(times.begin, times.end)).transpose()?;
    for report in reports {
        let report = report.await.map_err(|_| ended_early())??;
        reads.add(report.reads)?;
        if let (Some(sum), Some(one)) = (&mut writes, report.writes) {
            sum.add(one)?;
        }
    }
    progress.end();
    Ok(Outcome { reads, writes, servers, server, generator })
}

/// Of all of them together. None if one is gone, or there is none.
fn cpu_time(processes: &[Process]) -> Option<Duration> {
    let times: Option<Vec<_>> = processes.iter().map(|process| process.cpu_time()).collect();
    times.filter(|times| !times.is_empty()).map(|times| times.iter().sum())
}

/// Shares the connections out to the threads.
fn orders(
    args: &Arc<BenchArgs>,
    target: &Target,
    keys: Keys,
    live: &Arc<Live>,
) -> impl Iterator<Item = Orders> {
    let run = rand::random();
    (0..args.threads).map(move |thread| Orders {
        args: args.clone(),
        target: target.clone(),
        keys,
        run,
        thread,
        connections: args.connections / args.threads
            + u16::from(thread < args.connections % args.threads),
        live: live.clone(),
    })
}

/// Starts a thread, and waits until it is connected.
async fn start(
    orders: Orders,
    times: watch::Receiver<Option<Times>>,
) -> Result<oneshot::Receiver<Result<Report, CliFault>>, CliFault> {
    let (send_ready, ready) = oneshot::channel();
    let (send_report, report) = oneshot::channel();
    std::thread::Builder::new()
        .name(format!("bench-{}", orders.thread))
        .spawn(move || {
            // Nobody waits for it any more if another thread could not connect.
            let _ = send_report.send(crew::run(orders, send_ready, times));
        })
        .map_err(|source| CliFault::Io { what: "cannot start a thread", source })?;
    match ready.await {
        Ok(()) => Ok(report),
        Err(_) => Err(report.await.map_err(|_| ended_early())?.err().unwrap_or_else(ended_early)),
    }
}
