//! A thread of the generator: it connects, runs its callers, and returns their counts.

use crate::callers::Callers;
use crate::check::Checker;
use crate::connection::LoadConnection;
use crate::draw::{DrawnIds, IdSource};
use crate::error::LoadError;
use crate::ids::UnseenIds;
use crate::pace::{AFTERMATH, Pace};
use crate::plan::{LoadPlan, LoadServer};
use crate::request::Operation;
use crate::tally::{LiveCounts, Measured, Tally};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

/// How many creates there may be at once. A slow one must not hold up the others.
const WRITERS: u16 = 64;

/// When a run starts, and which part of it is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunTimes {
    pub start: Instant,
    pub measured: Measured,
}

/// The part of a run that one thread does.
pub(crate) struct ThreadPlan {
    pub plan: Arc<LoadPlan>,
    pub server: LoadServer,
    /// A random number of the run.
    pub run: u32,
    pub thread: u16,
    /// This thread's part of the connections.
    pub connections: u16,
    pub live: Arc<LiveCounts>,
}

/// The counts of a thread.
pub(crate) struct ThreadCounts {
    pub reads: Tally,
    pub writes: Option<Tally>,
}

impl ThreadPlan {
    /// Runs the thread to its end. It reports to `ready` when it is connected, and starts when
    /// `times` are known.
    pub fn run(
        self,
        ready: oneshot::Sender<()>,
        times: watch::Receiver<Option<RunTimes>>,
    ) -> Result<ThreadCounts, LoadError> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())
            .map_err(|source| LoadError::Io { what: "cannot start a runtime", source })?;
        runtime.block_on(self.execute(ready, times))
    }

    async fn execute(
        self,
        ready: oneshot::Sender<()>,
        mut times: watch::Receiver<Option<RunTimes>>,
    ) -> Result<ThreadCounts, LoadError> {
        let connections = self.connect(self.connections).await?;
        // Only the first thread writes, because one thread keeps a low rate best.
        let write_rate = self.plan.writes.filter(|_| self.thread == 0);
        let write_connections = self.connect(u16::from(write_rate.is_some())).await?;
        // Drawn before the start, because that takes a while.
        let drawn = self.drawn_ids();
        let _ = ready.send(());
        let times = times.wait_for(Option::is_some).await.map(|times| *times);
        let times = times.ok().flatten().ok_or_else(LoadError::ended_early)?;

        let lookup = Operation::Lookup(self.plan.mode);
        let share = f64::from(self.connections) / f64::from(self.plan.connections);
        let rate = self.plan.rate.map(|ids| ids * share / f64::from(lookup.ids_per_call()));
        let reads = self.callers(lookup, rate, drawn, times)?;
        let unseen = IdSource::Unseen(UnseenIds::new(self.run, self.thread * 2 + 1));
        let writes = match write_rate {
            Some(rate) => Some(self.callers(Operation::Create, Some(rate), unseen, times)?),
            None => None,
        };
        // A closed loop starts at once, so it must wait for the common start.
        tokio::time::sleep_until(times.start.into()).await;
        let mut running = JoinSet::new();
        spawn(&mut running, &reads, &connections, self.plan.concurrency);
        if let Some(writes) = &writes {
            spawn(&mut running, writes, &write_connections, WRITERS);
        }
        let pace_writes = async {
            match &writes {
                Some(writes) => writes.pace.run().await,
                None => Ok(()),
            }
        };
        let (paced, writes_paced, ()) = tokio::join!(
            reads.pace.run(),
            pace_writes,
            self.wait(&mut running, times.measured.end)
        );
        let timer = |source| LoadError::Io { what: "no timer", source };
        paced.and(writes_paced).map_err(timer)?;
        let finish = |callers: &Rc<Callers>| {
            Tally::new(times.measured, &[]).map(|empty| callers.finish(empty))
        };
        Ok(ThreadCounts {
            reads: finish(&reads)?,
            writes: writes.as_ref().map(finish).transpose()?,
        })
    }

    fn drawn_ids(&self) -> IdSource {
        let LoadPlan { ids, zipf, cold, seed, .. } = *self.plan;
        let unseen = UnseenIds::new(self.run, self.thread * 2);
        let seed = seed.wrapping_mul(0x1_0000).wrapping_add(self.thread.into());
        IdSource::Drawn(Box::new(DrawnIds::new(ids, zipf, cold, seed, unseen)))
    }

    async fn connect(&self, count: u16) -> Result<Vec<Rc<LoadConnection>>, LoadError> {
        let mut connections = Vec::new();
        for _ in 0..count {
            let connection = LoadConnection::open(self.server.clone()).await;
            connections.push(Rc::new(connection.map_err(|_| LoadError::Unreachable)?));
        }
        Ok(connections)
    }

    /// The shared state of some callers. Together they make `rate` calls a second; `None`: as many
    /// as are answered.
    fn callers(
        &self,
        operation: Operation,
        rate: Option<f64>,
        source: IdSource,
        times: RunTimes,
    ) -> Result<Rc<Callers>, LoadError> {
        Ok(Rc::new(Callers {
            operation,
            project_id: self.plan.project_id,
            head: self.server.head(operation.method())?,
            pace: Pace::new(times.start, times.measured.end, rate),
            source: RefCell::new(source),
            checker: RefCell::new(Checker::new(operation, self.plan.ids, self.plan.check)),
            tally: RefCell::new(Tally::new(times.measured, &self.plan.windows())?),
            live: self.live.clone(),
            outstanding: Cell::new(0),
        }))
    }

    /// Waits until all callers have ended. A caller whose answer can no longer come is aborted.
    async fn wait(&self, running: &mut JoinSet<()>, end: Instant) {
        let patience = AFTERMATH + Duration::from_millis(self.server.timeout_ms);
        let until = end + patience + Duration::from_secs(1);
        let all = async { while running.join_next().await.is_some() {} };
        let _ = tokio::time::timeout_at(until.into(), all).await;
        running.abort_all();
    }
}

/// Starts `each` callers on each connection.
fn spawn(
    running: &mut JoinSet<()>,
    callers: &Rc<Callers>,
    connections: &[Rc<LoadConnection>],
    each: u16,
) {
    // The connections take turns, because callers that wait for a call are woken in this order.
    for _ in 0..each {
        for connection in connections {
            running.spawn_local(callers.clone().run_one(connection.clone()));
        }
    }
}
