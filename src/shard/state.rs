//! The state of one shard, which all its tasks share.

use super::goodbyes::Goodbyes;
use super::health::{Health, ShardError};
use super::lane_backlog::LaneBacklog;
use super::logins::Logins;
use super::primary::Primary;
use super::queue::Queue;
use super::rate::RateLimit;
use super::read_backlog::{ReadBacklog, ReadFault};
use super::sample::Sample;
use super::server_report::ServerReport;
use super::settings::ShardSettings;
use super::write_backlog::WriteBacklog;
use crate::metrics::ShardMetrics;
use crate::store::{Directory, ServerRole, Store, StoreError};
use aka_core::clock::Boottime;
use aka_core::coherence::{Cache, Limits, LookupFailure, Memory};
use aka_core::domain::{Key, Loaded, ShardId, Slot};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Keys that may wait to be audited.
const AUDIT_BACKLOG: usize = 4_096;

/// One shard.
pub struct Shard {
    pub id: ShardId,
    pub memory: Memory,
    pub(crate) settings: ShardSettings,
    pub(crate) metrics: ShardMetrics,
    pub(crate) write_backlog: WriteBacklog,
    pub(super) store: Box<dyn Store>,
    pub(super) directory: Arc<Directory>,
    pub(super) health: Health,
    pub(super) primary: Primary,
    /// The servers of a group. Empty if the shard is no group.
    pub(super) servers: Mutex<Vec<ServerReport>>,
    pub(super) logins: Logins,
    pub(super) goodbyes: Goodbyes,
    pub(super) lane_backlog: LaneBacklog,
    /// Whether a snapshot is being read, or fills the cache.
    pub(super) restores: AtomicBool,
    pub(super) stale_reads: RateLimit,
    pub(super) read_backlog: ReadBacklog,
    pub(super) audit_sample: Sample,
    pub(super) audit_backlog: Queue<Key>,
}

impl Shard {
    pub(super) fn new(
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
            write_backlog: WriteBacklog::new(settings.write_queue, settings.failover_wait),
            health: Health::new(id, store.address()),
            primary: Primary::new(store.sole_server()),
            servers: Mutex::default(),
            logins: Logins::new(store.longest_login_pause()),
            goodbyes: Goodbyes::new(),
            lane_backlog: LaneBacklog::new(
                settings.lanes,
                settings.lane_queue,
                settings.lane_batch,
                settings.lane_pace,
            ),
            restores: AtomicBool::new(false),
            stale_reads: RateLimit::new(settings.stale_reads_per_s),
            read_backlog: ReadBacklog::new(settings.write_queue),
            audit_sample: Sample::new(settings.audit_sample),
            audit_backlog: Queue::new(AUDIT_BACKLOG),
            store,
            directory,
            settings,
            metrics,
        })
    }

    /// The database's address, without a password.
    pub fn address(&self) -> String {
        self.store.address()
    }

    /// Whether the slot is on this shard.
    pub fn owns(&self, slot: Slot) -> bool {
        self.directory.owner(slot) == Some(self.id)
    }

    pub fn is_up(&self) -> bool {
        self.health.is_up()
    }

    /// What a warm memory has and this one lacks. `None`: it is warm, or the shard is down, so that
    /// waiting for it would not help.
    pub fn lacks(&self) -> Option<&'static str> {
        if self.health.is_down() {
            None
        } else if self.memory.cursor().is_none() {
            Some("a place in the change log")
        } else if self.settings.filter && self.memory.filter().is_none() {
            Some("its filter")
        } else if self.restores.load(Ordering::Acquire) {
            Some("the aliases of its snapshot")
        } else {
            None
        }
    }

    /// Counts an error of the shard, and keeps it for operators.
    pub(super) fn note_error(&self, error: &StoreError) {
        self.metrics.errors.of(error).increment(1);
        self.health.note_error(error);
    }

    /// The last error of the shard, also if it has passed.
    pub fn last_error(&self) -> Option<ShardError> {
        self.health.last_error()
    }

    /// Why the database refused the last write transaction. `None` if it was committed.
    pub fn write_error(&self) -> Option<ShardError> {
        self.health.write_error()
    }

    /// The servers of a group, as the survey last found them. Empty if the shard is no group.
    pub fn servers(&self) -> Vec<ServerReport> {
        self.servers.lock().clone()
    }

    /// Why the shard's ids cannot be looked up while it is down.
    pub(super) fn failure(&self) -> LookupFailure {
        self.health.failure()
    }

    /// Reads forward rows from the primary, for the admin service. The answer may also hold rows
    /// that other callers asked for.
    ///
    /// # Errors
    /// If too many reads wait, or the shard does not answer.
    pub async fn load(&self, keys: Vec<Key>) -> Result<Arc<Loaded>, ReadFault> {
        self.read_backlog.load(keys).await
    }

    /// Sets the gauges that are computed when the metrics are read.
    pub(super) fn gauge(&self) {
        let age = self.memory.freshness().age(Boottime::now());
        self.metrics.up.set(if self.is_up() { 1.0 } else { 0.0 });
        self.metrics.lane_queue.set(self.lane_backlog.len() as f64);
        self.metrics.write_queue.set(self.write_backlog.len() as f64);
        self.metrics.feed_staleness_seconds.set(age.map_or(f64::INFINITY, |age| age.as_secs_f64()));
        self.gauge_servers();
        self.metrics.writes_held.set(self.write_backlog.held() as f64);
        let filter = self.memory.filter();
        self.metrics.filter_keys.set(filter.as_ref().map_or(0.0, |filter| filter.len() as f64));
        self.metrics.filter_dead.set(filter.as_ref().map_or(0.0, |filter| filter.dead() as f64));
        self.metrics.filter_bytes.set(self.memory.filter_bytes() as f64);
        // The feed, a load or a write may have found them: memory counts them all.
        self.metrics.epochs.absolute(self.memory.contradictions());
        self.metrics.applied_seq.set(self.memory.cursor().map_or(0.0, |at| at.seq as f64));
    }

    fn gauge_servers(&self) {
        let servers = self.servers();
        let count = |role| servers.iter().filter(|report| report.role == role).count();
        let of_group =
            [ServerRole::Primary, ServerRole::Replica, ServerRole::Unreachable].map(count);
        let [primaries, replicas, unreachable] = match (self.is_group(), self.is_up()) {
            (true, _) => of_group,
            (false, false) => [0, 0, 1],
            (false, true) if self.primary.is_known() => [1, 0, 0],
            (false, true) => [0, 1, 0],
        };
        let roles = &self.metrics.roles;
        roles.of(ServerRole::Primary).set(primaries as f64);
        roles.of(ServerRole::Replica).set(replicas as f64);
        roles.of(ServerRole::Unreachable).set(unreachable as f64);
        self.metrics.primaries.set(primaries as f64);
        let lag = servers.iter().filter_map(|report| report.lag).max();
        self.metrics.replica_lag.set(lag.unwrap_or_default() as f64);
    }
}
