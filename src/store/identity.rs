//! Whether a database is the shard that the configuration means.

use super::StoreError;
use aka_core::domain::{ClusterId, Identity, ShardId};

/// The version of the tables that this program makes. It is the number of the newest migration.
///
/// Two versions of aka work side by side while a cluster is upgraded: an instance works on tables
/// of this version, of a newer one that says that this is enough, and of version 1 on.
pub const SCHEMA_VERSION: u32 = 3;

/// The oldest tables that this program can use.
const OLDEST_SCHEMA: u32 = 1;

/// The version from which on a shard may be a group of servers: it brought the table `shard_beat`.
pub(super) const GROUPS_SCHEMA: u32 = 2;

/// The version from which on the change log says who made a change.
pub(super) const AUTHORS_SCHEMA: u32 = 3;

/// The shard that an address must lead to.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    pub shard: ShardId,
    pub shard_count: u16,
    /// `None` until the first shard has been reached.
    pub cluster: Option<ClusterId>,
}

impl Expected {
    /// Compares this with the identity that the database holds.
    ///
    /// # Errors
    /// [`StoreError::WrongShard`] with a sentence that says what is wrong and what to do.
    pub fn check(&self, found: &Identity, address: &str) -> Result<(), StoreError> {
        let wrong = |sentence: String| Err(StoreError::WrongShard(sentence));
        if found.schema_version < OLDEST_SCHEMA {
            return wrong(format!(
                "{address} has tables of version {}, this aka needs version {OLDEST_SCHEMA}: run `aka migrate` with the same shards",
                found.schema_version
            ));
        }
        if found.min_compatible_version > SCHEMA_VERSION {
            return wrong(format!(
                "{address} has tables of version {} for aka from version {} on, this aka knows only version {SCHEMA_VERSION}: run a newer aka",
                found.schema_version, found.min_compatible_version
            ));
        }
        if let Some(cluster) = self.cluster.filter(|&cluster| cluster != found.cluster) {
            return wrong(format!(
                "{address} is a shard of cluster {}, the others are of cluster {cluster}: name the shards of one cluster",
                found.cluster
            ));
        }
        if found.shard_count != self.shard_count {
            return wrong(format!(
                "{address} belongs to a cluster of {} shards, but {} are named: name all of them, in shard order",
                found.shard_count, self.shard_count
            ));
        }
        if found.shard != self.shard {
            return wrong(format!(
                "{address} is shard {}, but it is named as shard {}: name the shards in shard order",
                found.shard, self.shard
            ));
        }
        Ok(())
    }
}
