//! All shards of a cluster: their start, their tasks, and their stop.

use super::pool::ReadPool;
use super::settings::ClusterSettings;
use super::start::{StartFault, reach_shards};
use super::state::Shard;
use super::{auditor, cache_key, feed, filter, guardian, lane, pruner, reader, survey, writer};
use crate::metrics::Metrics;
use crate::store::{Directory, Store, StoreError};
use aka_core::coherence::{Cache, Limits, LookupFailure};
use aka_core::domain::{ClusterId, Key, ShardId, Slot};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a stop waits for writes whose clients have gone. Their last step begins within seconds.
const LAST_STEPS: Duration = Duration::from_secs(8);

/// How long a stop waits for the tasks after that. Saving the snapshots takes longest.
const LAST_TASKS: Duration = Duration::from_secs(10);

/// The shards of one cluster, and the tasks that serve them.
pub struct Cluster {
    pub id: ClusterId,
    pub cache: Arc<Cache>,
    pub limits: Limits,
    shards: Vec<Arc<Shard>>,
    /// One for each shard.
    pools: Vec<ReadPool>,
    directory: Arc<Directory>,
    stop: CancellationToken,
    tasks: TaskTracker,
    /// Where the tasks run. The runtime of a client's connection may end before the client's write.
    runtime: Handle,
    /// Tasks that must not be cut off half-way.
    unfinished: TaskTracker,
}

impl Cluster {
    /// Waits until a shard can be reached, checks all that can, and starts the tasks of all. A shard
    /// that cannot be reached hurts only its own ids, and is checked when it is back.
    ///
    /// `waiting` is told what is waited for.
    ///
    /// # Errors
    /// If the databases are not the shards of one cluster in shard order, or if none can be
    /// reached in time.
    pub async fn start(
        stores: Vec<Box<dyn Store>>,
        settings: &ClusterSettings,
        metrics: &Metrics,
        waiting: impl Fn(&StoreError),
    ) -> Result<Arc<Self>, StartFault> {
        let directory = Arc::new(Directory::new(stores.len() as u16));
        reach_shards(&stores, &directory, settings, waiting).await?;
        let Some(id) = directory.cluster() else {
            return Err(StartFault::Wrong("no shard is named".to_owned()));
        };
        let key = cache_key::of_folder(settings.shard.filter_dir.as_deref());
        let cache = Arc::new(Cache::with_key(settings.cache_bytes, key));
        let shards = (0..).map(ShardId).zip(stores).map(|(id, store)| {
            let (cache, metrics) = (cache.clone(), metrics.shard(id));
            let shard = settings.shard.clone();
            Shard::new(id, store, directory.clone(), cache, settings.limits, shard, metrics)
        });
        let shards: Vec<_> = shards.collect();
        let cluster = Self {
            id,
            pools: shards.iter().cloned().map(ReadPool::new).collect(),
            shards,
            cache,
            limits: settings.limits,
            directory,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            runtime: Handle::current(),
            unfinished: TaskTracker::new(),
        };
        cluster.shards.iter().for_each(|shard| cluster.spawn_tasks(shard));
        Ok(Arc::new(cluster))
    }

    fn spawn_tasks(&self, shard: &Arc<Shard>) {
        for lane in 0..shard.settings.lanes {
            self.tasks.spawn(lane::run(shard.clone(), lane, self.stop.clone()));
        }
        for _ in 0..shard.settings.admin_connections {
            self.tasks.spawn(reader::run(shard.clone(), self.stop.clone()));
        }
        self.spawn(guardian::run(shard.clone()));
        self.spawn(survey::run(shard.clone()));
        self.spawn(pruner::run(shard.clone()));
        self.spawn(auditor::run(shard.clone()));
        self.tasks.spawn(feed::run(shard.clone(), self.stop.clone()));
        self.tasks.spawn(filter::run(shard.clone(), self.stop.clone()));
        for _ in 0..shard.store.writers() {
            self.tasks.spawn(writer::run(shard.clone(), self.stop.clone()));
        }
    }

    /// Runs a task to its end, also if its caller has gone. A stop waits for it.
    pub fn run_to_completion<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.unfinished.spawn_on(task, &self.runtime)
    }

    /// Ends all tasks and waits for them, and closes all connections to the databases.
    pub async fn stop(&self) {
        self.unfinished.close();
        if !self.unfinished.is_empty() {
            tracing::info!(writes = self.unfinished.len(), "waiting for writes");
        }
        if tokio::time::timeout(LAST_STEPS, self.unfinished.wait()).await.is_err() {
            let left = self.unfinished.len();
            tracing::warn!(
                writes = left,
                "stopping in the middle of writes; repeating them is safe"
            );
        }
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(LAST_TASKS, self.tasks.wait()).await.is_err() {
            // A folder on a network that has gone may hold a save for ever.
            tracing::warn!(tasks = self.tasks.len(), "not waiting for the last tasks any longer");
        }
        self.pools.iter().for_each(ReadPool::close);
        for shard in &self.shards {
            shard.goodbyes.wait().await;
            if let Err(error) = shard.store.finish().await {
                tracing::warn!(shard = shard.id.0, %error, "the database's log is not in its file");
            }
        }
    }

    /// Runs a task until the cluster stops.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = task => {}
            }
        });
    }

    pub fn shards(&self) -> &[Arc<Shard>] {
        &self.shards
    }

    /// The pools of all shards, in shard order.
    pub fn pools(&self) -> &[ReadPool] {
        &self.pools
    }

    /// The shard that owns a slot. `None` if the shard has not been reached yet.
    pub fn shard_of_slot(&self, slot: Slot) -> Option<&Arc<Shard>> {
        self.shards.get(usize::from(self.directory.owner(slot)?.0))
    }

    pub fn shard_of(&self, key: &Key) -> Option<&Arc<Shard>> {
        self.shard_of_slot(key.slot())
    }

    /// Why nothing is known of an id that no shard owns yet: what the shards that are down say, if
    /// they agree.
    pub fn unowned(&self) -> LookupFailure {
        let down = self.shards.iter().filter(|shard| shard.health.is_down());
        let mut failures = down.map(|shard| shard.failure());
        match failures.next() {
            Some(first) if failures.all(|failure| failure == first) => first,
            _ => LookupFailure::Unavailable,
        }
    }

    pub fn pool_of(&self, key: &Key) -> Option<&ReadPool> {
        self.pools.get(usize::from(self.directory.owner(key.slot())?.0))
    }

    /// Sets the gauges that are computed when the metrics are read.
    pub fn gauge(&self, metrics: &Metrics) {
        metrics.cache_entries.set(self.cache.kept() as f64);
        metrics.cache_bytes.set(self.cache.weight() as f64);
        for shard in &self.shards {
            shard.gauge();
        }
    }
}
