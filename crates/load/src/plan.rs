//! The plan of a run: the server, the calls, the ids, and the times.

use crate::error::LoadError;
use crate::ids::IdSet;
use http::HeaderValue;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

/// How ids are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `Resolve`: a call for each id.
    Unary,
    /// `BatchResolve`, with this many ids in a call.
    Batch(u32),
    /// `StreamResolve`: batches of this many ids, on streams that stay open.
    Stream(u32),
}

impl Mode {
    /// How many ids a call asks for.
    pub fn ids_per_call(self) -> u32 {
        match self {
            Self::Unary => 1,
            Self::Batch(ids) | Self::Stream(ids) => ids,
        }
    }
}

/// The server under load.
#[derive(Clone, Debug)]
pub struct LoadServer {
    /// Where connections are made to.
    pub address: SocketAddr,
    /// Other addresses of the same service. A connection that has ended is made anew to the next one
    /// that accepts it.
    pub others: Vec<SocketAddr>,
    /// `http://host:port` or `https://host:port`, as the requests name it.
    pub url: String,
    /// How connections are encrypted. `None`: they are not.
    pub tls: Option<LoadTls>,
    /// The header with which calls say who makes them. `None`: they do not.
    pub authorization: Option<HeaderValue>,
    /// How long the server may take for a call, in milliseconds.
    pub timeout_ms: u64,
    /// The processes whose CPU time is read. If none is named and the address is a loopback
    /// address, it is the process that listens there.
    pub pids: Vec<u32>,
    /// The processes of its databases, whose CPU time is read too.
    pub database_pids: Vec<u32>,
}

/// How the generator speaks TLS.
#[derive(Clone, Debug)]
pub struct LoadTls {
    /// Whom it trusts, and what it shows. It must offer `h2`.
    pub config: Arc<ClientConfig>,
    /// The name that the server's certificate must hold.
    pub name: ServerName<'static>,
}

/// A part of the measured time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub begin: Duration,
    pub end: Duration,
}

impl Window {
    /// Whether this time, from the begin of the measured time on, is in it.
    pub fn holds(self, since: Duration) -> bool {
        (self.begin..self.end).contains(&since)
    }
}

/// Each window has a histogram in each thread.
const MOST_WINDOWS: usize = 1_000;

/// The plan of a run. [`LoadPlan::new`] has the defaults of `aka bench`.
#[derive(Clone, Debug)]
pub struct LoadPlan {
    /// The project of all ids.
    pub project_id: u64,
    /// How ids are asked for.
    pub mode: Mode,
    /// Ids a second, all callers together (an open loop). `None`: each caller asks again as soon as
    /// it is answered (a closed loop).
    pub rate: Option<f64>,
    /// Connections to the server, all threads together.
    pub connections: u16,
    /// Calls at once, or open streams, on each connection. In an open loop, the most of them.
    pub concurrency: u16,
    /// Threads that share the connections. There may not be more threads than connections.
    pub threads: u16,
    /// The ids that are asked for, and which of them are aliases.
    pub ids: IdSet,
    /// The skew: id k is asked for in proportion to 1 / k^`zipf`. 0: all alike.
    pub zipf: f64,
    /// Share of the lookups that are for ids never seen before, 0 to 1.
    pub cold: f64,
    /// Aliases created a second, besides the lookups. `None`: none.
    pub writes: Option<f64>,
    /// How long the load is measured.
    pub duration: Duration,
    /// How long the load runs before that, without being measured.
    pub warm_up: Duration,
    /// The measured time is also reported in windows of this length: a percentile over the whole
    /// hides a bad beginning. `None`: no windows.
    pub window: Option<Duration>,
    /// Whether answers are compared with the right ones. A bare echo server has no aliases, so its
    /// answers are not.
    pub check: bool,
    /// The same seed asks for the same ids.
    pub seed: u64,
}

impl LoadPlan {
    /// A closed loop of single calls for ids of this set: ten seconds, on four connections with 32
    /// calls each. These are the defaults of `aka bench`.
    pub fn new(project_id: u64, ids: IdSet) -> Self {
        Self {
            project_id,
            mode: Mode::Unary,
            rate: None,
            connections: 4,
            concurrency: 32,
            threads: 1,
            ids,
            zipf: 0.0,
            cold: 0.0,
            writes: None,
            duration: Duration::from_secs(10),
            warm_up: Duration::from_secs(2),
            window: None,
            check: true,
            seed: 1,
        }
    }

    /// When each window begins and ends, from the begin of the measured time on.
    pub(crate) fn windows(&self) -> Vec<Window> {
        let Some(length) = self.window.filter(|length| !length.is_zero()) else {
            return Vec::new();
        };
        let begins = (0..=MOST_WINDOWS as u32).map(|number| length * number);
        let begins = begins.take_while(|begin| *begin < self.duration);
        begins.map(|begin| Window { begin, end: (begin + length).min(self.duration) }).collect()
    }

    /// Checks that the plan can be carried out.
    ///
    /// # Errors
    /// [`LoadError::Plan`] if it cannot.
    pub(crate) fn check(&self) -> Result<(), LoadError> {
        if self.threads == 0 || self.threads > self.connections {
            return Err(LoadError::Plan("each thread needs a connection of its own"));
        }
        if self.duration.is_zero() || self.mode.ids_per_call() == 0 || self.ids.count == 0 {
            return Err(LoadError::Plan("the duration, the batch and the ids may not be 0"));
        }
        if self.windows().len() > MOST_WINDOWS {
            return Err(LoadError::Plan("there may be at most 1,000 windows"));
        }
        let rates = [self.rate, self.writes];
        if rates.into_iter().flatten().any(|rate| !(rate.is_finite() && rate > 0.0)) {
            return Err(LoadError::Plan("a rate must be above 0"));
        }
        Ok(())
    }
}
