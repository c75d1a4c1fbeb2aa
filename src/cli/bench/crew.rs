//! A thread of the generator: its connections, its callers, its counts.

use super::args::BenchArgs;
use super::caller::{Crew, Source};
use super::keys::{Draw, Fresh, Keys};
use super::message::{Checker, Kind};
use super::pace::{AFTERMATH, Pace};
use super::tally::{Live, Tally};
use super::wire::{Link, Target};
use crate::cli::fault::CliFault;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

/// Creates at once; they are few, and a slow one must not hold up the others.
const WRITERS: u16 = 64;

/// When a run begins, begins to be measured, and ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub start: Instant,
    pub begin: Instant,
    pub end: Instant,
}

/// What a thread is to do.
pub(super) struct Orders {
    pub args: Arc<BenchArgs>,
    pub target: Target,
    pub keys: Keys,
    /// A number that no other run has.
    pub run: u32,
    pub thread: u16,
    pub connections: u16,
    pub live: Arc<Live>,
}

/// What a thread has counted.
pub(super) struct Report {
    pub reads: Tally,
    pub writes: Option<Tally>,
}

/// Runs the thread to its end. It tells `ready` when it is connected, and begins at `times`.
pub(super) fn run(
    orders: Orders,
    ready: oneshot::Sender<()>,
    times: watch::Receiver<Option<Times>>,
) -> Result<Report, CliFault> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .map_err(|source| CliFault::Io { what: "cannot start a runtime", source })?;
    runtime.block_on(orders.execute(ready, times))
}

impl Orders {
    async fn execute(
        self,
        ready: oneshot::Sender<()>,
        mut times: watch::Receiver<Option<Times>>,
    ) -> Result<Report, CliFault> {
        let links = self.connect(self.connections).await?;
        // One thread writes: a rate that is shared by many is hard to keep.
        let writes = self.args.writes.filter(|_| self.thread == 0);
        let write_links = self.connect(u16::from(writes.is_some())).await?;
        let fresh = Fresh::new(self.run, self.thread * 2);
        let seed = self.args.seed.wrapping_mul(0x1_0000).wrapping_add(self.thread.into());
        let draw = Draw::new(self.keys, self.args.zipf, self.args.cold, seed, fresh);
        let _ = ready.send(());
        let Ok(times) = times.wait_for(Option::is_some).await.map(|times| *times) else {
            return Err(ended_early());
        };
        let times = times.ok_or_else(ended_early)?;

        let batch = self.args.ids_per_call();
        let share = f64::from(self.connections) / f64::from(self.args.connections);
        let rate = self.args.rate.map(|ids| ids * share / f64::from(batch));
        let kind = self.args.mode.kind();
        let reads = self.crew(kind, batch, rate, Source::Draw(Box::new(draw)), times)?;
        let fresh = Source::Fresh(Fresh::new(self.run, self.thread * 2 + 1));
        let writes = match writes {
            Some(rate) => Some(self.crew(Kind::Create, 1, Some(rate), fresh, times)?),
            None => None,
        };
        // A closed loop would begin before its time, and with calls that no count has room for.
        tokio::time::sleep_until(times.start.into()).await;
        let mut callers = JoinSet::new();
        self.spawn(&mut callers, &reads, &links, self.args.concurrency);
        if let Some(writes) = &writes {
            self.spawn(&mut callers, writes, &write_links, WRITERS);
        }
        let write_pace = async {
            match &writes {
                Some(writes) => writes.pace.run().await,
                None => Ok(()),
            }
        };
        let (paced, write_paced, ()) =
            tokio::join!(reads.pace.run(), write_pace, self.wait(&mut callers, times));
        paced.and(write_paced).map_err(|source| CliFault::Io { what: "no timer", source })?;
        let empty = || Tally::new(times.begin, times.end);
        let writes = writes.map(|writes| Ok::<_, CliFault>(writes.finish(empty()?))).transpose()?;
        Ok(Report { reads: reads.finish(empty()?), writes })
    }

    async fn connect(&self, count: u16) -> Result<Vec<Rc<Link>>, CliFault> {
        let mut links = Vec::new();
        for _ in 0..count {
            let link = Link::connect(self.target.clone()).await;
            links.push(Rc::new(link.map_err(|_| CliFault::Unreachable {
                server: self.target.url.clone(),
                message: "it does not accept a connection".to_owned(),
            })?));
        }
        Ok(links)
    }

    fn crew(
        &self,
        kind: Kind,
        batch: u32,
        rate: Option<f64>,
        source: Source,
        times: Times,
    ) -> Result<Rc<Crew>, CliFault> {
        let head = self.target.head(kind.path());
        let head = head.map_err(|fault| CliFault::Usage(format!("--server: {fault}")))?;
        Ok(Rc::new(Crew {
            kind,
            project_id: self.args.project.project,
            batch: batch as usize,
            head,
            pace: Pace::new(times.start, times.end, rate),
            source: RefCell::new(source),
            checker: RefCell::new(Checker::new(kind, self.keys, self.args.no_check)),
            tally: RefCell::new(Tally::new(times.begin, times.end)?),
            outstanding: Cell::new(0),
        }))
    }

    fn spawn(&self, callers: &mut JoinSet<()>, crew: &Rc<Crew>, links: &[Rc<Link>], each: u16) {
        // Not connection by connection: the callers that are waiting are woken in turn.
        for _ in 0..each {
            for link in links {
                callers.spawn_local(crew.clone().call(link.clone(), self.live.clone()));
            }
        }
    }

    /// Until the last caller has its last answer, or could have it no more.
    async fn wait(&self, callers: &mut JoinSet<()>, times: Times) {
        let patience = AFTERMATH + Duration::from_millis(self.args.client.timeout_ms);
        let until = times.end + patience + Duration::from_secs(1);
        let all = async { while callers.join_next().await.is_some() {} };
        let _ = tokio::time::timeout_at(until.into(), all).await;
        callers.abort_all();
    }
}

pub(super) fn ended_early() -> CliFault {
    CliFault::malformed("a thread of the generator ended early")
}
