//! The threads that connections are served on.
//!
//! Each thread has a runtime of its own. So a call that memory can answer is read, answered and
//! written without waking another thread. On two cores such a call costs about half the CPU that it
//! costs on one work-stealing runtime. One acceptor gives out the connections. The kernel would do
//! it by a hash of the address (`SO_REUSEPORT`), which does not spread a few connections evenly.

use crate::metrics::Metrics;
use crate::overload::watch_thread;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How many threads serve connections: one for each core.
fn count() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// How many descriptors the runtimes of the threads have: each waits for sockets by several.
pub(super) fn descriptors() -> usize {
    4 * count()
}

/// The threads. They end when this is dropped.
pub(super) struct Workers {
    workers: Vec<Worker>,
    /// Where the search for a free worker begins.
    next: usize,
    /// Dropped before the threads, because a thread ends only when it is told to.
    _stop: DropGuard,
    _threads: Vec<JoinOnDrop>,
}

/// One thread, with its runtime and the number of its connections.
struct Worker {
    runtime: Handle,
    connections: Arc<AtomicUsize>,
}

impl Workers {
    /// Starts a thread for each core. The metrics get how late each is, time and again. A thread
    /// that is late by `late` refuses what costs much.
    ///
    /// # Errors
    /// If the system has no more threads or descriptors.
    pub fn start(metrics: &Metrics, late: Duration) -> std::io::Result<Self> {
        let stop = CancellationToken::new();
        let (mut workers, mut threads) = (Vec::new(), Vec::new());
        // Declared after the threads, so that on an error it is dropped before they are joined.
        let guard = stop.clone().drop_guard();
        for number in 0..count() {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            workers.push(Worker { runtime: runtime.handle().clone(), connections: Arc::default() });
            let stopped = stop.clone().cancelled_owned();
            let watch = watch_thread(metrics.loop_lag_seconds.clone(), late);
            let until_stopped = async {
                tokio::select! {
                    () = stopped => {}
                    () = watch => {}
                }
            };
            let thread = std::thread::Builder::new()
                .name(format!("aka-serve-{number}"))
                .spawn(move || runtime.block_on(until_stopped))?;
            threads.push(JoinOnDrop(Some(thread)));
        }
        Ok(Self { workers, next: 0, _stop: guard, _threads: threads })
    }

    /// Runs a connection on the worker that has the fewest.
    pub fn spawn(&mut self, connection: impl Future<Output = ()> + Send + 'static) {
        let count = self.workers.len();
        let load = |index: &usize| self.workers[*index].connections.load(Ordering::Relaxed);
        let order = (self.next..self.next + count).map(|index| index % count);
        let Some(chosen) = order.min_by_key(load) else { return };
        self.next = chosen + 1;
        let Worker { runtime, connections } = &self.workers[chosen];
        let assignment = Assignment::new(connections);
        runtime.spawn(async move {
            connection.await;
            drop(assignment);
        });
    }
}

/// One connection of a worker, counted until it is dropped.
struct Assignment(Arc<AtomicUsize>);

impl Assignment {
    fn new(connections: &Arc<AtomicUsize>) -> Self {
        connections.fetch_add(1, Ordering::Relaxed);
        Self(connections.clone())
    }
}

impl Drop for Assignment {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct JoinOnDrop(Option<JoinHandle<()>>);

impl Drop for JoinOnDrop {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            // A thread that panicked has ended too.
            let _ = thread.join();
        }
    }
}
