//! Connections: gRPC over bare HTTP/2, as little of it as a load generator needs.
//!
//! The generated client puts a queue, a task and some allocations between a call and the
//! connection. The generator often runs on the cores of the server that it measures. The less CPU
//! it takes, the more is left for the server.

use crate::call::{CallFailed, OpenCall};
use crate::plan::{LoadServer, LoadTls};
use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderValue, Request, header};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::Code;

/// How long a new connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long to wait after a connection could not be made.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);

const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

impl LoadServer {
    /// The head of a call of this method, to be cloned for each call.
    pub(crate) fn head(&self, method: aka_wire::Method) -> Result<Request<()>, http::Error> {
        let mut head = Request::builder()
            .method(http::Method::POST)
            .uri(format!("{}{}", self.url, method.path()))
            .header(header::TE, HeaderValue::from_static("trailers"))
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"))
            .header(header::USER_AGENT, concat!("aka-bench/", env!("CARGO_PKG_VERSION")))
            .header("grpc-timeout", grpc_timeout(self.timeout_ms))
            .body(())?;
        if let Some(authorization) = &self.authorization {
            head.headers_mut().insert(header::AUTHORIZATION, authorization.clone());
        }
        Ok(head)
    }

    /// Connects to the first address that accepts, from the one at `index` on. Returns the index of
    /// the next one.
    async fn connect(&self, index: usize) -> Result<(SendRequest<Bytes>, usize), CallFailed> {
        let count = 1 + self.others.len();
        let mut failed = CallFailed::of(Code::Unavailable);
        for index in index..index + count {
            let address = match index % count {
                0 => self.address,
                other => self.others[other - 1],
            };
            match self.connect_to(address).await {
                Ok(sender) => return Ok((sender, index + 1)),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    async fn connect_to(&self, address: SocketAddr) -> Result<SendRequest<Bytes>, CallFailed> {
        let connect = async {
            let stream = TcpStream::connect(address).await.map_err(|_| Code::Unavailable)?;
            // Requests are small, and a caller waits for each answer.
            stream.set_nodelay(true).map_err(|_| Code::Unavailable)?;
            match &self.tls {
                None => open(stream).await,
                Some(LoadTls { config, name }) => {
                    let connector = TlsConnector::from(config.clone());
                    let stream = connector.connect(name.clone(), stream).await;
                    open(stream.map_err(|_| Code::Unavailable)?).await
                }
            }
        };
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, connect).await;
        connected.map_err(|_| CallFailed::of(Code::Unavailable))?.map_err(CallFailed::of)
    }
}

/// Begins HTTP/2 on a connection, and runs it as a task.
async fn open<S>(stream: S) -> Result<SendRequest<Bytes>, Code>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let handshake = h2::client::Builder::new()
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .handshake(stream);
    let (sender, connection) = handshake.await.map_err(|_| Code::Unavailable)?;
    tokio::task::spawn_local(async move {
        // If it fails, the calls that wait for answers fail too.
        let _ = connection.await;
    });
    Ok(sender)
}

/// The value has at most eight digits. From 100 million milliseconds on it is in seconds.
fn grpc_timeout(timeout_ms: u64) -> String {
    match timeout_ms {
        0..100_000_000 => format!("{timeout_ms}m"),
        _ => format!("{}S", timeout_ms / 1_000),
    }
}

/// A connection to the server. It is made anew when it has broken.
pub(crate) struct LoadConnection {
    server: LoadServer,
    sender: RefCell<SendRequest<Bytes>>,
    /// Held while the connection is made anew, so that this is done once for all callers. The index
    /// of the address that is tried first.
    reconnecting: tokio::sync::Mutex<usize>,
}

impl LoadConnection {
    pub async fn open(server: LoadServer) -> Result<Self, CallFailed> {
        let (sender, next) = server.connect(0).await?;
        Ok(Self { server, sender: RefCell::new(sender), reconnecting: next.into() })
    }

    /// Waits until the connection has room for one more call. A connection that was closed, as by a
    /// server that stops, is made anew first.
    async fn ready(&self) -> Result<SendRequest<Bytes>, CallFailed> {
        let sender = self.sender.borrow().clone();
        if let Ok(ready) = sender.ready().await {
            return Ok(ready);
        }
        let mut next = self.reconnecting.lock().await;
        let sender = self.sender.borrow().clone();
        let connected = match sender.ready().await {
            Ok(ready) => Ok(ready),
            Err(_) => self.server.connect(*next).await.map(|(sender, index)| {
                *next = index;
                sender
            }),
        };
        match &connected {
            Ok(sender) => *self.sender.borrow_mut() = sender.clone(),
            // The lock is still held: there is one attempt at a time, not one of every caller.
            Err(_) => tokio::time::sleep(RECONNECT_PAUSE).await,
        }
        drop(next);
        connected
    }

    /// Begins a call.
    pub async fn call(&self, head: &Request<()>) -> Result<OpenCall, CallFailed> {
        OpenCall::begin(self.ready().await?, head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_has_at_most_eight_digits() {
        assert_eq!(grpc_timeout(10_000), "10000m");
        assert_eq!(grpc_timeout(100_000_000), "100000S");
    }
}
