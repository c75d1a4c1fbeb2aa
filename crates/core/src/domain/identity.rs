//! The identity of a shard, as its tables state it. Every connection checks it (rule 9).

use super::{ClusterId, ShardId, SlotSet};

/// The constant part of the table `shard_meta`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster that the shard belongs to.
    pub cluster: ClusterId,
    /// The shard's number in the cluster.
    pub shard: ShardId,
    /// How many shards the cluster has.
    pub shard_count: u16,
    /// The slots that the shard owns.
    pub slots: SlotSet,
    /// The version of the tables.
    pub schema_version: u32,
    /// The oldest version of aka that may use the tables.
    pub min_compatible_version: u32,
}
