//! The shards of the cluster: their shared state, and the tasks that serve them.
//!
//! - `state` is what all tasks of one shard share. It knows none of the tasks.
//! - Lookups that memory does not answer go through a `lane`, and changes come in through the
//!   `feed`. Jobs of writes go through a `writer`.
//! - The admin service reads forward rows through a `reader`, and inverse rows through the
//!   `pool`.
//! - The `guardian` of a shard finds its `primary`, and the `survey` looks at all servers of a group.
//! - The `filter`, the `pruner` and the `auditor` have a task each.
//! - The `cluster` starts and stops all of it. Its `start` waits for the databases.

mod auditor;
mod cache_key;
mod claims;
mod cluster;
mod connection;
mod feed;
mod filter;
mod goodbyes;
mod guardian;
mod health;
mod lane;
mod lane_backlog;
mod lane_turns;
mod logins;
mod owner;
mod pace;
mod pool;
mod primary;
mod pruner;
mod queue;
mod rate;
mod read_backlog;
mod reader;
mod room;
mod sample;
mod server_report;
mod settings;
mod start;
mod state;
mod survey;
mod write_backlog;
mod writer;

pub use cluster::Cluster;
pub use health::ShardError;
pub use pool::ReadPool;
pub use primary::LEAST_STALENESS;
pub use read_backlog::ReadFault;
pub use server_report::ServerReport;
pub use settings::{ClusterSettings, ShardSettings};
pub use start::StartFault;
pub use state::Shard;
pub use write_backlog::{Job, WriteBacklog, WriteFault, Written};
