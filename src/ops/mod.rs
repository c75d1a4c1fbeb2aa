//! What operators look at: metrics, the operations port, and logs.

pub mod http;
pub mod logging;
mod metrics;
mod status;

pub use metrics::{Lookups, Metrics, RpcMetrics, ShardMetrics, WriteResult};
pub use status::{AuditStatus, CacheStatus, FilterStatus, ShardStatus, Status};
