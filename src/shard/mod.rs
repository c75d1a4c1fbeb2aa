//! The shards of the cluster: their shared state, and the tasks that serve them.
//!
//! - `state` is what all tasks of one shard share. It knows none of the tasks.
//! - Lookups that memory does not answer go through a `lane`, and changes come in through the
//!   `feed`. Jobs of writes go through a `writer`.
//! - The admin service reads forward rows through a `reader`, and inverse rows through the
//!   `pool`.
//! - The `filter`, the `pruner` and the `auditor` have a task each.
//! - The `cluster` starts and stops all of it.

mod auditor;
mod cluster;
mod connection;
mod feed;
mod filter;
mod goodbyes;
mod health;
mod lane;
mod logins;
mod pool;
mod pruner;
mod queue;
mod rate;
mod read_backlog;
mod reader;
mod sample;
mod settings;
mod state;
mod write_backlog;
mod writer;

pub use cluster::{Cluster, ClusterSettings, StartFault};
pub use health::ShardError;
pub use pool::ReadPool;
pub use read_backlog::ReadFault;
pub use settings::ShardSettings;
pub use state::Shard;
pub use write_backlog::{Job, WriteBacklog, WriteFault, Written};
