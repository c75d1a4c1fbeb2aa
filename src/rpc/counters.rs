//! Counting every call once, when it ends.

use super::activity::{ActiveCall, Activity};
use crate::metrics::{Metrics, RpcMetrics};
use aka_wire::Method;
use std::sync::Arc;
use std::time::Instant;
use tonic::Code;

/// The series of all methods.
pub struct CallCounters {
    /// By `method as usize`.
    methods: [Arc<RpcMetrics>; Method::ALL.len()],
    /// Calls of all other paths together, so that no client can add a series.
    others: Arc<RpcMetrics>,
}

impl CallCounters {
    /// Registers the series, so that all of them exist from the start.
    pub fn new(metrics: &Metrics) -> Self {
        let series =
            |method: Method| metrics.rpc(method.service(), method.name(), method.kind().label());
        Self {
            methods: std::array::from_fn(|index| Arc::new(series(Method::ALL[index]))),
            others: Arc::new(metrics.rpc("other", "other", "other")),
        }
    }

    /// Counts a call of a connection that begins. `None` stands for a path that is no [`Method`].
    pub fn begin(&self, method: Option<Method>, connection: &Arc<Activity>) -> CountedCall {
        let metrics = method.map_or(&self.others, |method| &self.methods[method as usize]);
        metrics.started.increment(1);
        let active = connection.begin();
        CountedCall { metrics: metrics.clone(), began: Instant::now(), code: None, active }
    }
}

/// A call that is under way. Dropping it counts its end.
pub struct CountedCall {
    metrics: Arc<RpcMetrics>,
    began: Instant,
    /// How the call ended. Without a code it was cancelled: the client left before the connection
    /// got the answer.
    pub code: Option<Code>,
    active: ActiveCall,
}

impl Drop for CountedCall {
    fn drop(&mut self) {
        self.metrics.handled.count(self.code.unwrap_or(Code::Cancelled) as usize);
        let now = Instant::now();
        self.metrics.seconds.record((now - self.began).as_secs_f64());
        self.active.ends(now);
    }
}
