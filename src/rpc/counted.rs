//! Counting every call, once, when it ends.

use crate::metrics::RpcMetrics;
use std::sync::Arc;
use std::time::Instant;
use tonic::Code;

/// A call that goes on. It is counted when this is dropped.
pub struct Call {
    metrics: Arc<RpcMetrics>,
    began: Instant,
    /// How it ended. Without one the client went before its answer was given to the connection: it has
    /// cancelled the call.
    pub code: Option<Code>,
}

impl Call {
    pub fn begin(metrics: Arc<RpcMetrics>) -> Self {
        metrics.started.increment(1);
        Self { metrics, began: Instant::now(), code: None }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.metrics.handled.count(self.code.unwrap_or(Code::Cancelled) as usize);
        self.metrics.seconds.record(self.began.elapsed().as_secs_f64());
    }
}
