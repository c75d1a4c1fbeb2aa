//! What a client counts, and the hooks for a program's own metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Hears what happens. Calls come from the client's tasks: they must be short and must not block.
pub trait Observer: Send + Sync {
    /// Something happened.
    fn notice(&self, notice: &Notice);
}

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// A call with a batch has ended.
    Call { ids: usize, latency: Duration, answered: bool },
    /// A batch is sent once more.
    Retry,
    /// A batch is sent to a second server, because the first one is slow.
    Hedge,
    /// Ids were answered from the cache.
    CacheHits(usize),
    /// Ids were refused because too many wait.
    QueueFull(usize),
    /// An id was used unchanged although nobody could find out what it stands for.
    Unchanged,
    /// A server refused a connection, and is not called for now.
    EndpointDown,
    /// A server can be called again.
    EndpointUp,
}

/// Totals since the client was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Calls with a batch, retries and hedges among them.
    pub calls: u64,
    pub failed_calls: u64,
    /// Ids in those calls.
    pub ids: u64,
    pub retries: u64,
    pub hedges: u64,
    pub cache_hits: u64,
    pub queue_full: u64,
    /// Ids that were used unchanged after an error.
    pub unchanged: u64,
    pub endpoints_down: u64,
    pub endpoints_up: u64,
}

/// [`Counts`] that tasks add to.
#[derive(Default)]
struct Tally {
    calls: AtomicU64,
    failed_calls: AtomicU64,
    ids: AtomicU64,
    retries: AtomicU64,
    hedges: AtomicU64,
    cache_hits: AtomicU64,
    queue_full: AtomicU64,
    unchanged: AtomicU64,
    endpoints_down: AtomicU64,
    endpoints_up: AtomicU64,
}

impl Tally {
    fn add(&self, notice: &Notice) {
        let (counter, by) = match *notice {
            Notice::Call { ids, answered, .. } => {
                self.calls.fetch_add(1, Ordering::Relaxed);
                self.failed_calls.fetch_add(u64::from(!answered), Ordering::Relaxed);
                (&self.ids, ids)
            }
            Notice::Retry => (&self.retries, 1),
            Notice::Hedge => (&self.hedges, 1),
            Notice::CacheHits(ids) => (&self.cache_hits, ids),
            Notice::QueueFull(ids) => (&self.queue_full, ids),
            Notice::Unchanged => (&self.unchanged, 1),
            Notice::EndpointDown => (&self.endpoints_down, 1),
            Notice::EndpointUp => (&self.endpoints_up, 1),
        };
        counter.fetch_add(by as u64, Ordering::Relaxed);
    }

    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            calls: read(&self.calls),
            failed_calls: read(&self.failed_calls),
            ids: read(&self.ids),
            retries: read(&self.retries),
            hedges: read(&self.hedges),
            cache_hits: read(&self.cache_hits),
            queue_full: read(&self.queue_full),
            unchanged: read(&self.unchanged),
            endpoints_down: read(&self.endpoints_down),
            endpoints_up: read(&self.endpoints_up),
        }
    }
}

/// Counts, and tells the observer, if there is one.
pub(crate) struct Hooks {
    tally: Tally,
    observer: Option<Arc<dyn Observer>>,
}

impl Hooks {
    pub fn new(observer: Option<Arc<dyn Observer>>) -> Self {
        Self { tally: Tally::default(), observer }
    }

    pub fn tell(&self, notice: &Notice) {
        self.tally.add(notice);
        if let Some(observer) = &self.observer {
            observer.notice(notice);
        }
    }

    pub fn counts(&self) -> Counts {
        self.tally.counts()
    }
}
