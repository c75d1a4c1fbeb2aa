//! The threads that connections are served on.
//!
//! Each runs a runtime of its own, so a call that is answered from memory is read, answered and
//! written without another thread being woken: on two cores a call costs about half the CPU of the
//! same on one work-stealing runtime. Connections are handed out by one acceptor, and not by the
//! kernel (`SO_REUSEPORT` goes by a hash of the address), so that a handful of them is spread evenly.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

/// The threads; they end when this is dropped.
pub(super) struct Workers {
    workers: Vec<Worker>,
    /// Where the search for a free worker begins.
    next: usize,
    /// Before the threads: they are joined once they were told to end.
    _stop: DropGuard,
    _threads: Vec<JoinOnDrop>,
}

struct Worker {
    runtime: Handle,
    connections: Arc<AtomicUsize>,
}

impl Workers {
    /// # Errors
    /// If the system has no more threads or descriptors.
    pub fn start(count: usize) -> std::io::Result<Self> {
        let stop = CancellationToken::new();
        let (mut workers, mut threads) = (Vec::new(), Vec::new());
        // After the threads, so that on an error they are told to end before they are joined.
        let guard = stop.clone().drop_guard();
        for number in 0..count.max(1) {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            workers.push(Worker { runtime: runtime.handle().clone(), connections: Arc::default() });
            let stopped = stop.clone().cancelled_owned();
            let thread = std::thread::Builder::new()
                .name(format!("aka-serve-{number}"))
                .spawn(move || runtime.block_on(stopped))?;
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
        let place = Place::take(connections);
        runtime.spawn(async move {
            connection.await;
            drop(place);
        });
    }
}

/// One connection of a worker.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(connections: &Arc<AtomicUsize>) -> Self {
        connections.fetch_add(1, Ordering::Relaxed);
        Self(connections.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct JoinOnDrop(Option<JoinHandle<()>>);

impl Drop for JoinOnDrop {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            // A thread that panicked has ended, too.
            let _ = thread.join();
        }
    }
}
