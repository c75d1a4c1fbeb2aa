//! All shards, and how a running instance gets to know them.

use super::{Shard, ShardSettings, auditor, feed, filter, in_time, lane, pruner, reader, writer};
use crate::metrics::Metrics;
use crate::store::{Directory, Role, Store, StoreError};
use aka_core::coherence::{Cache, Limits};
use aka_core::domain::{ClusterId, Key, ShardId, Slot};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a stop waits for writes whose clients have gone: their last step begins within seconds.
const LAST_STEPS: Duration = Duration::from_secs(8);

/// What a cluster needs to know beside its databases.
#[derive(Clone, Debug)]
pub struct ClusterSettings {
    pub cache_bytes: u64,
    pub limits: Limits,
    pub shard: ShardSettings,
}

/// Why the service does not start. One clear sentence.
#[derive(Debug, thiserror::Error)]
pub enum StartFault {
    /// The configuration names the wrong databases; starting again does not help.
    #[error("{0}")]
    Wrong(String),
    /// No shard answers; starting again later may help.
    #[error("no shard can be reached: {0}")]
    Unreachable(StoreError),
}

/// The shards of one cluster, and the tasks that serve them.
pub struct Cluster {
    pub id: ClusterId,
    pub cache: Arc<Cache>,
    pub limits: Limits,
    shards: Vec<Arc<Shard>>,
    directory: Arc<Directory>,
    stop: CancellationToken,
    tasks: TaskTracker,
    /// Where the shards' tasks run. The runtime of a connection may end before a write that came by it.
    runtime: Handle,
    /// What is not to be cut half-way.
    unfinished: TaskTracker,
}

impl Cluster {
    /// Checks every shard that can be reached, and begins to serve all. A shard that cannot be
    /// reached hurts only its own ids; it is checked when it is back.
    ///
    /// # Errors
    /// If the databases are not the shards of one cluster in shard order, or none can be reached.
    pub async fn start(
        stores: Vec<Box<dyn Store>>,
        settings: &ClusterSettings,
        metrics: &Metrics,
    ) -> Result<Arc<Self>, StartFault> {
        let directory = Arc::new(Directory::new(stores.len() as u16));
        check_shards(&stores, &directory, settings.shard.connect_timeout).await?;
        let Some(id) = directory.cluster() else {
            return Err(StartFault::Wrong("no shard is named".to_owned()));
        };
        let cache = Arc::new(Cache::new(settings.cache_bytes));
        let shards = (0..).map(ShardId).zip(stores).map(|(id, store)| {
            let (cache, metrics) = (cache.clone(), metrics.shard(id));
            let shard = settings.shard.clone();
            Shard::new(id, store, directory.clone(), cache, settings.limits, shard, metrics)
        });
        let cluster = Self {
            id,
            shards: shards.collect(),
            cache,
            limits: settings.limits,
            directory,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            runtime: Handle::current(),
            unfinished: TaskTracker::new(),
        };
        for shard in &cluster.shards {
            for _ in 0..shard.settings.lanes {
                cluster.tasks.spawn(lane::run(shard.clone(), cluster.stop.clone()));
            }
            for _ in 0..shard.settings.admin_connections {
                cluster.tasks.spawn(reader::run(shard.clone(), cluster.stop.clone()));
            }
            cluster.spawn(pruner::run(shard.clone()));
            cluster.spawn(auditor::run(shard.clone()));
            cluster.tasks.spawn(feed::run(shard.clone(), cluster.stop.clone()));
            cluster.tasks.spawn(filter::run(shard.clone(), cluster.stop.clone()));
            for _ in 0..shard.writers() {
                cluster.tasks.spawn(writer::run(shard.clone(), cluster.stop.clone()));
            }
        }
        Ok(Arc::new(cluster))
    }

    /// Runs a task that is not to be cut half-way, also where nobody waits for it any more.
    pub fn see_through<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.unfinished.spawn_on(task, &self.runtime)
    }

    /// Ends all tasks and waits for them.
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
        self.tasks.wait().await;
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

    /// The shard that owns a slot; `None` if it has not been reached yet.
    pub fn shard_of_slot(&self, slot: Slot) -> Option<&Arc<Shard>> {
        self.shards.get(usize::from(self.directory.owner(slot)?.0))
    }

    pub fn shard_of(&self, key: &Key) -> Option<&Arc<Shard>> {
        self.shard_of_slot(key.slot())
    }

    /// Sets the gauges that are read off when somebody looks.
    pub fn gauge(&self, metrics: &Metrics) {
        metrics.cache_entries.set(self.cache.kept() as f64);
        metrics.cache_bytes.set(self.cache.weight() as f64);
        for shard in &self.shards {
            shard.gauge();
        }
    }
}

async fn check_shards(
    stores: &[Box<dyn Store>],
    directory: &Directory,
    limit: Duration,
) -> Result<(), StartFault> {
    let connections = stores.iter().map(|store| async move {
        in_time(limit, &store.address(), store.connect(Role::Read)).await
    });
    let answers = futures::future::join_all(connections).await;
    let mut unreachable = None;
    for ((shard, store), answer) in (0..).map(ShardId).zip(stores).zip(answers) {
        let address = store.address();
        let admitted =
            answer.and_then(|session| directory.admit(shard, session.identity(), &address));
        match admitted {
            Ok(()) => {}
            Err(StoreError::WrongShard(sentence)) => return Err(StartFault::Wrong(sentence)),
            // It answers, but not as a shard does.
            Err(error @ StoreError::Refused { .. }) => {
                return Err(StartFault::Wrong(error.to_string()));
            }
            Err(error) => {
                tracing::warn!(%shard, %error, "starting without a shard");
                unreachable = Some(error);
            }
        }
    }
    match (unreachable, directory.unowned()) {
        (Some(error), _) if directory.cluster().is_none() => Err(StartFault::Unreachable(error)),
        (None, Some(slot)) => Err(StartFault::Wrong(format!(
            "no shard owns slot {}: correct shard_meta.slots of the shard that holds its rows",
            slot.get()
        ))),
        _ => Ok(()),
    }
}
