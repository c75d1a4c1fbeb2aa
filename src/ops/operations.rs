//! The operations port's view of an instance.

use crate::metrics::Metrics;
use crate::shard::Cluster;
use parking_lot::Mutex;
use std::sync::{Arc, OnceLock};

/// The parts of a running instance that operators look at.
pub struct Operations {
    pub metrics: Arc<Metrics>,
    stage: Mutex<Stage>,
    cluster: OnceLock<Arc<Cluster>>,
}

/// The stages of an instance's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It waits for its databases.
    Starting {
        /// Why they cannot be used yet. Empty before the first attempt has ended.
        waits_for: String,
    },
    Serving,
    Stopping,
}

impl Operations {
    /// Those of an instance that starts.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        let stage = Stage::Starting { waits_for: String::new() };
        Self { metrics, stage: Mutex::new(stage), cluster: OnceLock::new() }
    }

    /// The cluster. `None` while the instance starts.
    pub fn cluster(&self) -> Option<&Arc<Cluster>> {
        self.cluster.get()
    }

    pub fn stage(&self) -> Stage {
        self.stage.lock().clone()
    }

    pub fn set_stage(&self, stage: Stage) {
        *self.stage.lock() = stage;
    }

    /// The cluster is there, and requests are accepted.
    pub fn serve(&self, cluster: Arc<Cluster>) {
        // It is called once.
        let _ = self.cluster.set(cluster);
        self.set_stage(Stage::Serving);
    }
}
