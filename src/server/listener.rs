//! Accepts gRPC connections, and drains them at the stop.

use super::connection::{self, LAST_ARRIVALS};
use super::workers::Workers;
use crate::metrics::Metrics;
use crate::ops::AcceptErrors;
use crate::rpc::Dispatcher;
use metrics::Gauge;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The gRPC socket, and the parts that serve its connections.
pub(super) struct Listener {
    pub listener: TcpListener,
    pub dispatcher: Arc<Dispatcher>,
    pub metrics: Arc<Metrics>,
    /// The most connections at once. Further ones wait to be accepted.
    pub max_connections: usize,
    pub workers: Workers,
    /// When it is cancelled, the listener stops accepting, and each connection finishes.
    pub stopping: CancellationToken,
}

impl Listener {
    /// Accepts until the server stops. Then waits at most `drain` until all calls are answered.
    pub async fn run(self, drain: Duration) {
        let Self { listener, dispatcher, metrics, max_connections, mut workers, stopping } = self;
        let permits = Arc::new(Semaphore::new(max_connections));
        let (connections, cut) = (TaskTracker::new(), CancellationToken::new());
        // A connection that a client has opened already is not reset, but told to go elsewhere.
        let over = async {
            stopping.cancelled().await;
            tokio::time::sleep(LAST_ARRIVALS).await;
        };
        let mut over = std::pin::pin!(over);
        let mut errors = AcceptErrors::new("gRPC");
        loop {
            let accepted = tokio::select! {
                () = over.as_mut() => break,
                accepted = accept(&listener, &permits, &mut errors) => accepted,
            };
            let Some((stream, permit)) = accepted else { continue };
            let admission = Admission::new(permit, &metrics.connections);
            let connection = serve(stream, dispatcher.clone(), stopping.clone());
            let cut = cut.clone();
            workers.spawn(connections.track_future(async move {
                tokio::select! {
                    () = connection => {}
                    () = cut.cancelled() => {}
                }
                drop(admission);
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
        // Joining the threads may block for a moment.
        drop(tokio::task::spawn_blocking(move || drop(workers)).await);
    }
}

/// Held by a connection: one of the `max_connections`, counted in the metrics.
struct Admission {
    _permit: OwnedSemaphorePermit,
    connections: Gauge,
}

impl Admission {
    fn new(permit: OwnedSemaphorePermit, connections: &Gauge) -> Self {
        connections.increment(1.0);
        Self { _permit: permit, connections: connections.clone() }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.connections.decrement(1.0);
    }
}

/// Accepts one connection. The socket is not registered with this runtime, because the runtime of a
/// worker will serve it.
async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
    errors: &mut AcceptErrors,
) -> Option<(std::net::TcpStream, OwnedSemaphorePermit)> {
    let permit = permits.clone().acquire_owned().await.ok()?;
    let accepted = listener.accept().await.and_then(|(stream, _)| {
        // Answers are small, and a client waits for each.
        stream.set_nodelay(true)?;
        stream.into_std()
    });
    match accepted {
        Ok(stream) => Some((stream, permit)),
        Err(error) => {
            errors.note(&error);
            // Without a pause this loop would use up the CPU.
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

/// Serves a connection on the current runtime.
async fn serve(
    stream: std::net::TcpStream,
    dispatcher: Arc<Dispatcher>,
    stopping: CancellationToken,
) {
    let served = async {
        let (reader, writer) = TcpStream::from_std(stream)?.into_split();
        let take = |request, respond| dispatcher.take(request, respond);
        connection::serve(reader, writer, take, &stopping).await
    };
    if let Err(error) = served.await {
        tracing::debug!(%error, "a connection ended early");
    }
}
