//! The settings of a cluster and of each of its shards.

use aka_core::coherence::Limits;
use std::path::PathBuf;
use std::time::Duration;

/// The settings of a cluster, without its databases.
#[derive(Clone, Debug)]
pub struct ClusterSettings {
    pub cache_bytes: u64,
    pub limits: Limits,
    /// How long a start waits for a shard that can be reached. Zero: for ever.
    pub start_timeout: Duration,
    pub shard: ShardSettings,
}

/// As many servers as most groups have, or more.
const USUAL_SERVERS: usize = 5;

/// How a shard is used. Every wait has a limit.
#[derive(Clone, Debug)]
pub struct ShardSettings {
    pub lanes: usize,
    /// Keys that may wait for a lane. More are refused.
    pub lane_queue: usize,
    /// Keys a second that are looked up while the feed stands still. 0: no limit.
    pub stale_reads_per_s: u64,
    /// Keys of one lookup query, at most.
    pub lane_batch: usize,
    /// The longest pace of lookup queries: how long a shard under load is left alone between two.
    pub lane_pace: Duration,
    pub connect_timeout: Duration,
    pub query_timeout: Duration,
    /// The pause between two polls of the change log.
    pub feed_interval: Duration,
    /// The age at which lines of the change log are pruned. Zero: never.
    pub retention: Duration,
    /// The share of the answers from memory that is compared with the primary. 0: nothing is
    /// audited, not even changes.
    pub audit_sample: f64,
    /// Whether a filter of all alias ids is kept.
    pub filter: bool,
    /// The folder of the filter's snapshots. `None`: no snapshots.
    pub filter_dir: Option<PathBuf>,
    /// Connections for the admin service's lookups, and as many for its lists and scans.
    pub admin_connections: usize,
    /// Jobs that may wait for the writer. More are refused. The same holds for admin reads.
    pub write_queue: usize,
    /// How long a job waits for a primary while the shard has none.
    pub failover_wait: Duration,
}

impl ShardSettings {
    /// The most connections to a shard at once: of lanes, readers, the pool, two writers, the feed,
    /// the filter, the auditor, the pruner and the guardian. The survey has one to each server of a
    /// group, and so has a search for the primary.
    pub fn connections(&self) -> usize {
        self.lanes + 2 * self.admin_connections + 2 + 5 + 2 * USUAL_SERVERS
    }
}
