//! Accepting gRPC connections, and letting them finish.

use super::connection::{self, LAST_WORDS};
use super::workers::Workers;
use crate::metrics::Metrics;
use crate::rpc::Dispatcher;
use metrics::Gauge;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A gRPC port that listens.
pub(super) struct Listener {
    pub listener: TcpListener,
    pub dispatcher: Arc<Dispatcher>,
    pub metrics: Arc<Metrics>,
    pub max_connections: usize,
    pub workers: Workers,
    /// When it is cancelled, no connection is accepted, and each is asked to finish.
    pub stopping: CancellationToken,
}

impl Listener {
    /// Accepts until it is stopped; then lets calls finish for `drain` at the most.
    pub async fn run(self, drain: Duration) {
        let Self { listener, dispatcher, metrics, max_connections, mut workers, stopping } = self;
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
            let Some((stream, permit)) = accepted else { continue };
            let place = Place::new(permit, &metrics.connections);
            let connection = serve(stream, dispatcher.clone(), stopping.clone());
            let cut = cut.clone();
            workers.spawn(connections.track_future(async move {
                tokio::select! {
                    () = connection => {}
                    () = cut.cancelled() => {}
                }
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

/// A place among the connections, counted for as long as it is held.
struct Place {
    _permit: OwnedSemaphorePermit,
    connections: Gauge,
}

impl Place {
    fn new(permit: OwnedSemaphorePermit, connections: &Gauge) -> Self {
        connections.increment(1.0);
        Self { _permit: permit, connections: connections.clone() }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.decrement(1.0);
    }
}

/// A connection, not yet of any runtime: it is served on another than it was accepted on.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(std::net::TcpStream, OwnedSemaphorePermit)> {
    let permit = places.clone().acquire_owned().await.ok()?;
    let accepted = listener.accept().await.and_then(|(stream, _)| {
        // Answers are small and waited for.
        stream.set_nodelay(true)?;
        stream.into_std()
    });
    match accepted {
        Ok(stream) => Some((stream, permit)),
        Err(error) => {
            // Out of file descriptors, most likely: asking again at once would only spin.
            tracing::warn!(%error, "cannot accept a connection");
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

/// Serves a connection on the runtime that this is called on.
async fn serve(
    stream: std::net::TcpStream,
    dispatcher: Arc<Dispatcher>,
    stopping: CancellationToken,
) {
    let served = async {
        let (reader, writer) = TcpStream::from_std(stream)?.into_split();
        let take = |call, respond| dispatcher.take(call, respond);
        connection::serve(reader, writer, take, &stopping).await
    };
    if let Err(error) = served.await {
        tracing::debug!(%error, "a connection ended early");
    }
}
