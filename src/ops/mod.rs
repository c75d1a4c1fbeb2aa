//! For operators: the operations port, the status of an instance, and logs.
//!
//! It reads `shard` and `metrics`. Neither of them uses it.

mod accept_errors;
pub mod http;
pub mod logging;
mod operations;
mod status;

pub use accept_errors::AcceptErrors;
pub use operations::{Operations, Stage};
pub use status::{
    AuditStatus, CacheStatus, ErrorStatus, FilterStatus, InstanceStatus, ServerStatus, ShardStatus,
};
