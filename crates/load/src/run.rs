//! A run from its start to its end: threads, the clock, CPU times.

use crate::error::LoadError;
use crate::outcome::{CpuSample, LoadOutcome};
use crate::plan::{LoadPlan, LoadServer};
use crate::process::Process;
use crate::tally::{LiveCounts, Measured, Tally};
use crate::thread::{RunTimes, ThreadCounts, ThreadPlan};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};

/// The time from the order to start to the first call. All threads must have the order by then.
const HEAD_START: Duration = Duration::from_millis(5);

type Counted = oneshot::Receiver<Result<ThreadCounts, LoadError>>;

/// A generator whose threads are connected to the server and wait for the start.
pub struct ConnectedLoad {
    plan: Arc<LoadPlan>,
    servers: Vec<Process>,
    databases: Vec<Process>,
    live: Arc<LiveCounts>,
    send_times: watch::Sender<Option<RunTimes>>,
    threads: Vec<Counted>,
}

impl ConnectedLoad {
    /// Starts the threads of the generator, and connects each of them to the server.
    ///
    /// # Errors
    /// If the plan contradicts itself, if a process that the server names does not exist, or if the
    /// server does not accept all connections.
    pub async fn connect(plan: LoadPlan, server: LoadServer) -> Result<Self, LoadError> {
        plan.check()?;
        let mut servers: Vec<_> = server.pids.iter().copied().map(Process).collect();
        if servers.is_empty() {
            servers.extend(Process::listening_on(server.address));
        }
        let databases: Vec<_> = server.database_pids.iter().copied().map(Process).collect();
        let mut named = servers.iter().chain(&databases);
        if let Some(Process(pid)) = named.find(|process| process.cpu_time().is_none()) {
            return Err(LoadError::NoProcess(*pid));
        }
        let (plan, live) = (Arc::new(plan), Arc::new(LiveCounts::default()));
        let (send_times, times) = watch::channel(None);
        let (run, mut threads) = (rand::random(), Vec::new());
        for thread in 0..plan.threads {
            let rest = u16::from(thread < plan.connections % plan.threads);
            let thread = ThreadPlan {
                plan: plan.clone(),
                server: server.clone(),
                run,
                thread,
                connections: plan.connections / plan.threads + rest,
                live: live.clone(),
            };
            threads.push(start(thread, times.clone()).await?);
        }
        Ok(Self { plan, servers, databases, live, send_times, threads })
    }

    /// Counts that grow while the load runs.
    pub fn live(&self) -> Arc<LiveCounts> {
        self.live.clone()
    }

    /// Runs the load: the warm-up, then the measured time, then the wait for the last answers.
    ///
    /// # Errors
    /// If a thread of the generator fails. Wrong answers and failed calls are counted in the
    /// outcome.
    pub async fn run(self) -> Result<LoadOutcome, LoadError> {
        let start = Instant::now() + HEAD_START;
        let begin = start + self.plan.warm_up;
        let measured = Measured { begin, end: begin + self.plan.duration };
        if self.send_times.send(Some(RunTimes { start, measured })).is_err() {
            return Err(LoadError::ended_early());
        }
        let samples = self.sample_cpu(measured).await;

        let windows = self.plan.windows();
        let mut reads = Tally::new(measured, &windows)?;
        let mut writes = self.plan.writes.map(|_| Tally::new(measured, &windows)).transpose()?;
        for thread in self.threads {
            let counts = thread.await.map_err(|_| LoadError::ended_early())??;
            reads.add(counts.reads)?;
            if let (Some(sum), Some(one)) = (&mut writes, counts.writes) {
                sum.add(one)?;
            }
        }
        let processes = [self.servers, self.databases, vec![Process::current()]];
        Ok(LoadOutcome::new(&self.plan, reads, writes, &processes, &samples))
    }

    /// The CPU times at the begin and the end of the measured time, and between its windows.
    async fn sample_cpu(&self, measured: Measured) -> Vec<CpuSample> {
        let windows = self.plan.windows();
        let inner = windows.iter().skip(1).map(|window| measured.begin + window.begin);
        let times = std::iter::once(measured.begin).chain(inner).chain([measured.end]);
        let mut samples = Vec::new();
        for time in times {
            tokio::time::sleep_until(time.into()).await;
            samples.push(CpuSample {
                server: cpu_time(&self.servers),
                databases: cpu_time(&self.databases),
                generator: cpu_time(&[Process::current()]),
            });
        }
        samples
    }
}

/// The CPU time of all these processes together. `None` if one has ended, or there is none.
fn cpu_time(processes: &[Process]) -> Option<Duration> {
    let times: Option<Vec<_>> = processes.iter().map(|process| process.cpu_time()).collect();
    times.filter(|times| !times.is_empty()).map(|times| times.iter().sum())
}

/// Starts a thread, and waits until it is connected.
async fn start(
    thread: ThreadPlan,
    times: watch::Receiver<Option<RunTimes>>,
) -> Result<Counted, LoadError> {
    let (send_ready, ready) = oneshot::channel();
    let (send_counts, counts) = oneshot::channel();
    std::thread::Builder::new()
        .name(format!("bench-{}", thread.thread))
        .spawn(move || {
            // If another thread could not connect, the receiver is gone.
            let _ = send_counts.send(thread.run(send_ready, times));
        })
        .map_err(|source| LoadError::Io { what: "cannot start a thread", source })?;
    if ready.await.is_ok() {
        return Ok(counts);
    }
    let ended = counts.await.map_err(|_| LoadError::ended_early())?;
    Err(ended.err().unwrap_or_else(LoadError::ended_early))
}
