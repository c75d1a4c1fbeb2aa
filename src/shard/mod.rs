//! One shard as the service sees it: its connections, and what is remembered of it.
//!
//! Reads that miss the cache go through the [lanes](lane); changes come in through the
//! [feed]; the admin service reads through the [pool]. writes go through the [writer].

mod auditor;
mod cluster;
mod connection;
mod directory;
mod feed;
mod filter;
mod health;
mod lane;
mod pool;
mod pruner;
mod queue;
mod rate;
mod reader;
mod sample;
mod writer;

pub use cluster::{Cluster, ClusterSettings, StartFault};
pub(crate) use connection::{ShardConnection, ask, in_time};
pub use directory::Directory;
pub use reader::ReadFault;
pub use writer::{Job, WriteFault, WriteQueue, Written};

use crate::metrics::ShardMetrics;
use crate::store::{Store, StoreError};
use aka_core::clock::Boottime;
use aka_core::coherence::{Cache, Limits, Memory};
use aka_core::domain::Loaded;
use aka_core::domain::{Id, InverseRow, Key, ShardId, Slot, Stamp};
use auditor::Auditor;
use health::Health;
use pool::Pool;
use queue::Queue;
use rate::RateLimit;
use reader::ReadQueue;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How a shard is used. Every wait has a limit. The defaults are those of the settings (`config`).
#[derive(Clone, Debug)]
pub struct ShardSettings {
    pub lanes: usize,
    /// Keys that may wait for a lane; more are refused.
    pub lane_queue: usize,
    /// Keys a second that are asked for while the feed stands still; 0: no limit.
    pub stale_reads_per_s: u64,
    /// Keys that one query asks for, at most.
    pub lane_batch: usize,
    pub connect_timeout: Duration,
    pub query_timeout: Duration,
    /// The pause between two looks at the change log.
    pub feed_interval: Duration,
    /// How old the lines of the change log become before they are pruned; zero: they never are.
    pub retention: Duration,
    /// The share of the answers from memory that is compared with the primary; 0: none, nor any
    /// change.
    pub audit_sample: f64,
    /// Whether there is a set of all alias ids.
    pub filter: bool,
    /// Where it is kept from one process to the next; `None`: nowhere.
    pub filter_dir: Option<PathBuf>,
    /// Connections for the admin service's lookups, and as many for its lists and scans.
    pub admin_connections: usize,
    /// Writes that may wait for the shard; more are refused.
    pub write_queue: usize,
    /// Writes that share one transaction, at most.
    pub write_batch: usize,
}

/// One shard.
pub struct Shard {
    pub id: ShardId,
    pub memory: Memory,
    pub(crate) settings: ShardSettings,
    pub(crate) metrics: ShardMetrics,
    pub(crate) writes: WriteQueue,
    store: Box<dyn Store>,
    directory: Arc<Directory>,
    health: Health,
    queue: Queue<Key>,
    stale_reads: RateLimit,
    pool: Pool,
    reads: ReadQueue,
    auditor: Auditor,
}

impl Shard {
    pub(crate) fn new(
        id: ShardId,
        store: Box<dyn Store>,
        directory: Arc<Directory>,
        cache: Arc<Cache>,
        limits: Limits,
        settings: ShardSettings,
        metrics: ShardMetrics,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            memory: Memory::new(cache, limits),
            writes: WriteQueue::new(settings.write_queue),
            queue: Queue::new(settings.lane_queue),
            stale_reads: RateLimit::new(settings.stale_reads_per_s),
            pool: Pool::new(settings.admin_connections),
            reads: ReadQueue::new(settings.write_queue),
            auditor: Auditor::new(settings.audit_sample),
            health: Health::new(id, store.address()),
            store,
            directory,
            settings,
            metrics,
        })
    }

    /// Where the shard is, without a password.
    pub fn address(&self) -> String {
        self.store.address()
    }

    /// How many writers the shard has.
    pub(crate) fn writers(&self) -> usize {
        self.store.writers()
    }

    /// Whether the slot is on this shard.
    pub fn owns(&self, slot: Slot) -> bool {
        self.directory.owner(slot) == Some(self.id)
    }

    pub fn is_up(&self) -> bool {
        self.health.is_up()
    }

    pub(crate) fn gauge(&self) {
        let age = self.memory.freshness().age(Boottime::now());
        self.metrics.up.set(if self.is_up() { 1.0 } else { 0.0 });
        self.metrics.lane_queue.set(self.queue.len() as f64);
        self.metrics.write_queue.set(self.writes.len() as f64);
        self.metrics.feed_staleness_seconds.set(age.map_or(f64::INFINITY, |age| age.as_secs_f64()));
        let filter = self.memory.filter();
        self.metrics.filter_keys.set(filter.as_ref().map_or(0.0, |filter| filter.len() as f64));
        self.metrics.filter_dead.set(filter.as_ref().map_or(0.0, |filter| filter.dead() as f64));
        self.metrics.filter_bytes.set(self.memory.filter_bytes() as f64);
        // Whoever found it: the feed, a load or a write.
        self.metrics.epochs.absolute(self.memory.contradictions());
        self.metrics.applied_seq.set(self.memory.cursor().map_or(0.0, |at| at.seq as f64));
    }

    /// Gives keys that were [started](aka_core::coherence::Lookup::Started) to the lanes. Those that
    /// find no room, and all if the shard is known to be down, fail at once.
    pub fn enqueue(&self, keys: Vec<Key>) {
        lane::enqueue(self, keys);
    }

    /// Reads rows from the primary, for the admin service; the answer may hold more than these.
    pub async fn load(&self, keys: Vec<Key>) -> Result<Arc<Loaded>, ReadFault> {
        self.reads.load(keys).await
    }

    /// Inverse rows of one canonical id (see [`crate::store::Session::inverse_rows`]).
    pub async fn inverse_rows(
        self: &Arc<Self>,
        canonical: &Key,
        after: Option<(&Id, Stamp)>,
        limit: u32,
    ) -> Result<Vec<InverseRow>, StoreError> {
        let mut lease = self.pool.lease(self).await;
        let rows =
            ask!(lease.connection(), |session| session.inverse_rows(canonical, after, limit));
        lease.done();
        rows
    }

    /// A page of inverse rows (see [`crate::store::Session::scan_inverse`]).
    pub async fn scan_inverse(
        self: &Arc<Self>,
        after: Option<&crate::store::Stored<InverseRow>>,
        limit: u32,
    ) -> Result<(aka_core::domain::Micros, Vec<crate::store::Stored<InverseRow>>), StoreError> {
        let mut lease = self.pool.lease(self).await;
        let rows = ask!(lease.connection(), |session| session.scan_inverse(after, limit));
        lease.done();
        rows
    }
}
