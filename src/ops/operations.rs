//! The operations port's view of an instance.

use crate::metrics::Metrics;
use crate::shard::Cluster;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The parts of a running instance that operators look at.
pub struct Operations {
    pub metrics: Arc<Metrics>,
    pub cluster: Arc<Cluster>,
    /// False once the server begins to stop.
    pub serving: AtomicBool,
}
