//! What operators look at: metrics, the operations port, and logs.

pub mod http;
pub mod logging;
mod status;

pub use status::{AuditStatus, CacheStatus, FilterStatus, ShardStatus, Status};
