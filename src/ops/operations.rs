//! The operations port's view of an instance.

use crate::metrics::Metrics;
use crate::page::LookupDesk;
use crate::shard::Cluster;
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;

/// The parts of a running instance that operators look at.
pub struct Operations {
    pub metrics: Arc<Metrics>,
    stage: watch::Sender<Stage>,
    cluster: OnceLock<Arc<Cluster>>,
    desk: OnceLock<LookupDesk>,
}

/// The stages of an instance's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It waits for its databases.
    Starting {
        /// Why they cannot be used yet. Empty before the first attempt has ended.
        waits_for: String,
    },
    /// It answers, but its memory is cold: it is not ready yet.
    Warming,
    /// It answers, and it is ready.
    Ready,
    /// It stops. It still answers, but callers should go elsewhere.
    Stopping,
}

impl Operations {
    /// Those of an instance that starts.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        let (stage, _) = watch::channel(Stage::Starting { waits_for: String::new() });
        Self { metrics, stage, cluster: OnceLock::new(), desk: OnceLock::new() }
    }

    /// The cluster. `None` while the instance starts.
    pub fn cluster(&self) -> Option<&Arc<Cluster>> {
        self.cluster.get()
    }

    /// What answers the lookups of the page. `None` while the instance starts.
    pub fn desk(&self) -> Option<&LookupDesk> {
        self.desk.get()
    }

    pub fn stage(&self) -> Stage {
        self.stage.borrow().clone()
    }

    /// The stage, for those that wait for the next one.
    pub fn watch_stage(&self) -> watch::Receiver<Stage> {
        self.stage.subscribe()
    }

    pub fn set_stage(&self, stage: Stage) {
        self.stage.send_replace(stage);
    }

    /// The cluster is there, and requests are accepted.
    pub fn serve(&self, cluster: Arc<Cluster>, desk: LookupDesk) {
        // It is called once.
        let _ = self.desk.set(desk);
        let _ = self.cluster.set(cluster);
        self.set_stage(Stage::Warming);
    }

    /// Memory is warm. False if the instance stops already, so that it is not ready all the same.
    pub fn set_ready(&self) -> bool {
        self.stage.send_if_modified(|stage| {
            let warms = *stage == Stage::Warming;
            if warms {
                *stage = Stage::Ready;
            }
            warms
        })
    }
}
