//! Who a shard says it is.

use super::{ClusterId, ShardId, SlotSet};

/// What `shard_meta` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub cluster: ClusterId,
    pub shard: ShardId,
    /// How many shards the cluster has.
    pub shard_count: u16,
    pub slots: SlotSet,
    pub schema_version: u32,
}
