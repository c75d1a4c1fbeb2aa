//! The options of a client.

use crate::error::ConnectError;
use crate::observer::Observer;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What becomes of a call when as many ids wait as `max_queue` allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// It fails at once with [`QueueFull`](crate::ResolveError::QueueFull).
    #[default]
    Fail,
    /// It waits for room, but no longer than `timeout`.
    Wait,
}

/// How a client behaves. [`ClientOptions::to`] has the defaults:
///
/// ```
/// use aka_client::ClientOptions;
/// use std::time::Duration;
///
/// let options = ClientOptions {
///     timeout: Duration::from_millis(500),
///     ..ClientOptions::to(["http://127.0.0.1:50051"])
/// };
/// assert_eq!((options.max_batch, options.retries), (512, 3));
/// ```
#[derive(Clone)]
pub struct ClientOptions {
    /// The servers: `http://HOST:PORT`, `https://HOST:PORT` or `HOST:PORT`. All addresses of a name
    /// are called.
    pub endpoints: Vec<String>,
    /// How long a batch waits for more ids while none is under way. Default: 0.
    pub linger: Duration,
    /// The most ids in a batch, 1 to 10,000. Default: 512.
    pub max_batch: usize,
    /// The most ids that wait to be sent. Default: 10,000.
    pub max_queue: usize,
    /// What happens when they do.
    pub when_full: WhenFull,
    /// The most batches under way to one endpoint. Default: 4.
    pub max_in_flight: usize,
    /// The most time from a call to its answer, with all retries. Default: 1 s.
    pub timeout: Duration,
    /// The most time for opening a connection. Default: 1 s.
    pub connect_timeout: Duration,
    /// How often a batch is sent once more, within `timeout`. Default: 3.
    pub retries: u32,
    /// When a batch that is not answered yet is sent to a second endpoint too, for at most 5 % of
    /// the ids. Default: never.
    pub hedge_after: Option<Duration>,
    /// The most answers that are remembered. Default: 0.
    pub cache_entries: usize,
    /// How long they are, counted from the sending of the request. Reads with a token never use
    /// them. Default: 1 s.
    pub staleness: Duration,
    /// A file whose text is sent as `authorization: Bearer …`. It is read again when it changes.
    pub token_file: Option<PathBuf>,
    /// The token itself, where there is no such file.
    pub token: Option<String>,
    /// The authorities that vouch for https servers, in PEM. Default: those of the system.
    pub ca: Option<PathBuf>,
    /// The certificate to show to https servers, in PEM, and its private key.
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// Hears what happens.
    pub observer: Option<Arc<dyn Observer>>,
    /// What servers are told about the program.
    pub user_agent: String,
}

impl ClientOptions {
    /// The defaults, for these servers.
    pub fn to<S: Into<String>>(endpoints: impl IntoIterator<Item = S>) -> Self {
        Self {
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            linger: Duration::ZERO,
            max_batch: 512,
            max_queue: 10_000,
            when_full: WhenFull::Fail,
            max_in_flight: 4,
            timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(1),
            retries: 3,
            hedge_after: None,
            cache_entries: 0,
            staleness: Duration::from_secs(1),
            token_file: None,
            token: None,
            ca: None,
            cert: None,
            key: None,
            observer: None,
            user_agent: concat!("aka-client/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }

    /// Checks what can be checked without a server.
    pub(crate) fn check(&self) -> Result<(), ConnectError> {
        let wrong = |what: &str| Err(ConnectError(what.to_owned()));
        if self.endpoints.is_empty() {
            return wrong("no endpoint is named");
        }
        if self.max_batch == 0 || self.max_batch > aka_wire::MAX_BATCH {
            return wrong("max_batch must be 1 to 10000");
        }
        if self.max_queue == 0 || self.max_queue > tokio::sync::Semaphore::MAX_PERMITS {
            return wrong("max_queue must be at least 1");
        }
        if self.max_in_flight == 0 {
            return wrong("max_in_flight must be at least 1");
        }
        if self.timeout.is_zero() || self.connect_timeout.is_zero() {
            return wrong("timeout and connect_timeout must be more than 0");
        }
        if self.cert.is_some() != self.key.is_some() {
            return wrong("cert and key belong together");
        }
        Ok(())
    }
}

impl fmt::Debug for ClientOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientOptions")
            .field("endpoints", &self.endpoints)
            .field("max_batch", &self.max_batch)
            .field("max_queue", &self.max_queue)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
