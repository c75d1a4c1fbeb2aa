//! What operators look at: metrics, the operations port, and logs.

pub mod http;
pub mod logging;
mod metrics;

pub use metrics::{Metrics, RpcMetrics, ShardMetrics, WriteResult};
