//! Accepting gRPC connections, and letting them finish.
//!
//! hyper is driven directly: tonic's own server cannot be told to stop within a bounded time, nor
//! how many connections it may have.

use super::outgoing::Outgoing;
use super::workers::Workers;
use crate::ops::Metrics;
use crate::rpc::middleware::Middleware;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What every HTTP/2 client says first (RFC 9113, 3.4), and how long it may take to.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FIRST_WORDS: Duration = Duration::from_secs(10);

/// How long a server that stops still accepts what was on its way.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// A peer that was silent this long is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Calls at once on one connection.
const STREAMS: u32 = 1_024;

/// Bytes on the way on a stream and on a connection: a whole batch, and several.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// A gRPC port.
pub(super) struct Listener {
    pub listener: TcpListener,
    pub service: Middleware,
    pub metrics: Arc<Metrics>,
    pub max_connections: usize,
    pub workers: Workers,
    /// When it is cancelled, no connection is accepted, and each is asked to finish.
    pub stopping: CancellationToken,
}

impl Listener {
    /// Accepts until it is stopped; then lets calls finish for `drain` at the most.
    pub async fn run(self, drain: Duration) {
        let Self { listener, service, metrics, max_connections, mut workers, stopping } = self;
        let places = Arc::new(Semaphore::new(max_connections));
        let (connections, cut) = (TaskTracker::new(), CancellationToken::new());
        // Connections that clients have opened already are not reset: they are told to go elsewhere.
        let over = async {
            stopping.cancelled().await;
            tokio::time::sleep(LAST_WORDS).await;
        };
        let mut over = std::pin::pin!(over);
        loop {
            let accepted = tokio::select! {
                () = over.as_mut() => break,
                accepted = accept(&listener, &places) => accepted,
            };
            let Some((stream, place)) = accepted else { continue };
            let connection = connection(stream, service.clone(), stopping.clone());
            let (metrics, cut) = (metrics.clone(), cut.clone());
            workers.spawn(connections.track_future(async move {
                metrics.connections.increment(1.0);
                tokio::select! {
                    () = connection => {}
                    () = cut.cancelled() => {}
                }
                metrics.connections.decrement(1.0);
                drop(place);
            }));
        }
        drop(listener);
        connections.close();
        if tokio::time::timeout(drain, connections.wait()).await.is_err() {
            let left = connections.len();
            tracing::warn!(connections = left, "cutting connections that did not finish in time");
            cut.cancel();
            connections.wait().await;
        }
        // Joining its threads may wait for a moment; nobody is served any more.
        drop(tokio::task::spawn_blocking(move || drop(workers)).await);
    }
}

type Place = tokio::sync::OwnedSemaphorePermit;

/// A connection, not yet of any runtime: it is served on another than it was accepted on.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(std::net::TcpStream, Place)> {
    let place = places.clone().acquire_owned().await.ok()?;
    let accepted = listener.accept().await.and_then(|(stream, _)| {
        // Answers are small and waited for.
        stream.set_nodelay(true)?;
        stream.into_std()
    });
    match accepted {
        Ok(stream) => Some((stream, place)),
        Err(error) => {
            // Out of file descriptors, most likely: asking again at once would only spin.
            tracing::warn!(%error, "cannot accept a connection");
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

/// Waits for the words that every HTTP/2 client begins with: a connection that never says them must not
/// keep its place. hyper reads them once more, so they are put in front again.
async fn open(mut stream: TcpStream) -> Option<(impl AsyncRead + Unpin, OwnedWriteHalf)> {
    let mut said = [0; PREFACE.len()];
    let read = tokio::time::timeout(FIRST_WORDS, stream.read_exact(&mut said)).await;
    if !matches!(read, Ok(Ok(_))) || said != *PREFACE {
        return None;
    }
    let (reader, writer) = stream.into_split();
    Some((std::io::Cursor::new(said).chain(reader), writer))
}

async fn connection(stream: std::net::TcpStream, service: Middleware, stopping: CancellationToken) {
    let Ok(stream) = TcpStream::from_std(stream) else { return };
    let stopped = async {
        stopping.cancelled().await;
        // What it was about to say may be on its way.
        tokio::time::sleep(LAST_WORDS).await;
    };
    let opened = tokio::select! {
        opened = open(stream) => opened,
        () = stopped => None,
    };
    let Some((reader, writer)) = opened else { return };
    let writer = Outgoing::new(writer);
    let stream = tokio::io::join(reader, writer.share());
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    let connection = http.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = writer.send_for(connection.as_mut()) => ended,
        () = stopping.cancelled() => {
            // GOAWAY: what was begun is answered, what comes later goes elsewhere.
            connection.as_mut().graceful_shutdown();
            writer.send_for(connection.as_mut()).await
        }
    };
    let error = match ended {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    tracing::debug!(error, "a connection ended early");
}
