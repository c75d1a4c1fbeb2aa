//! The load on aka and on the echo. Both get it from `aka-load`, the generator of `aka bench`.

use crate::Fault;
use crate::sample::Sample;
use aka_load::{ConnectedLoad, LoadOutcome, LoadPlan, LoadServer, LoadTls};
use http::HeaderValue;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::runtime::Runtime;

/// How long the load runs before every measurement. The caches are warm already, but the connections
/// and the processor are not.
const WARM_UP: Duration = Duration::from_millis(500);

/// How long a server may take for a call, in milliseconds.
const TIMEOUT_MS: u64 = 10_000;

/// A load on a gRPC server.
#[derive(Clone)]
pub struct Load<'a> {
    pub runtime: &'a Runtime,
    pub address: SocketAddr,
    /// The processes whose CPU time counts.
    pub pids: Vec<u32>,
    pub plan: LoadPlan,
    /// How connections are encrypted, if they are.
    pub tls: Option<LoadTls>,
    /// The header with which calls say who makes them, if they do.
    pub authorization: Option<HeaderValue>,
}

/// The result of an open loop.
pub struct Open {
    pub sample: Sample,
    /// Whether all calls that were due were answered in time.
    pub kept_up: bool,
}

impl Load<'_> {
    pub fn closed(&self, duration: Duration) -> Result<Sample, Fault> {
        sample(&self.run(duration, None, WARM_UP)?)
    }

    /// An open loop that is measured from its first call on.
    pub fn open_at_once(&self, duration: Duration, rate: f64) -> Result<Sample, Fault> {
        sample(&self.run(duration, Some(rate), Duration::ZERO)?)
    }

    pub fn open(&self, duration: Duration, rate: f64) -> Result<Open, Fault> {
        let outcome = self.run(duration, Some(rate), WARM_UP)?;
        let sample = sample(&outcome)?;
        let kept_up = outcome.reads.unsent_calls == 0 && sample.ids_per_second > 0.97 * rate;
        Ok(Open { sample, kept_up })
    }

    /// Fails if one answer is wrong.
    fn run(
        &self,
        duration: Duration,
        rate: Option<f64>,
        warm_up: Duration,
    ) -> Result<LoadOutcome, Fault> {
        let plan = LoadPlan { duration, warm_up, rate, ..self.plan.clone() };
        let server = LoadServer {
            address: self.address,
            others: Vec::new(),
            url: match self.tls {
                Some(_) => format!("https://{}", self.address),
                None => format!("http://{}", self.address),
            },
            tls: self.tls.clone(),
            authorization: self.authorization.clone(),
            timeout_ms: TIMEOUT_MS,
            pids: self.pids.clone(),
            database_pids: Vec::new(),
        };
        let outcome = self
            .runtime
            .block_on(async { ConnectedLoad::connect(plan, server).await?.run().await })?;
        match outcome.bad() {
            0 => Ok(outcome),
            bad => Err(format!("{bad} ids failed or were wrong: {:?}", outcome.reads).into()),
        }
    }
}

fn sample(outcome: &LoadOutcome) -> Result<Sample, Fault> {
    let cpu = outcome.server.as_ref().and_then(|server| server.cpu_us_per_id);
    Ok(Sample {
        ids_per_second: outcome.reads.ids_per_second,
        cpu_us: cpu.ok_or("the CPU time of the server cannot be read")?,
        p50_us: outcome.reads.latency_us.p50,
        p99_us: outcome.reads.latency_us.p99,
    })
}
