//! Accepts gRPC connections, and drains them at the stop.

use super::connection;
use super::places::{Occupant, Places};
use super::timed_reader::TimedReader;
use super::workers::Workers;
use crate::metrics::Metrics;
use crate::ops::AcceptErrors;
use crate::overload::Arrivals;
use crate::rpc::{Activity, ConnectionPeer, Dispatcher};
use crate::tls::{PortTls, TlsPeer};
use std::io::Result;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The gRPC socket, and the parts that serve its connections.
pub(super) struct Listener {
    pub listener: TcpListener,
    pub dispatcher: Arc<Dispatcher>,
    pub metrics: Arc<Metrics>,
    /// `None`: connections are not encrypted.
    pub tls: Option<Arc<PortTls>>,
    /// The most connections at once. Further ones wait to be accepted, and idle ones are sent away.
    pub max_connections: usize,
    /// The most of them from one address. 0: any number.
    pub max_connections_per_peer: usize,
    pub workers: Workers,
    /// When it is cancelled, the listener stops accepting.
    pub closing: CancellationToken,
    /// When it is cancelled, each connection finishes.
    pub stopping: CancellationToken,
    /// How long connections may take to finish.
    pub drain: Duration,
    /// The age at which a connection is to finish. `None`: any age.
    pub max_age: Option<Duration>,
}

impl Listener {
    /// Accepts until the server stops. Then waits until all calls are answered.
    pub async fn run(self) {
        let Self { listener, dispatcher, metrics, max_connections, mut workers, .. } = self;
        let Self { tls, closing, stopping, drain, max_age, max_connections_per_peer, .. } = self;
        let places = Places::new(max_connections, max_connections_per_peer, metrics.clone());
        let (connections, cut) = (TaskTracker::new(), CancellationToken::new());
        let mut errors = AcceptErrors::new("gRPC");
        loop {
            let accepted = tokio::select! {
                biased;
                () = closing.cancelled() => break,
                accepted = accept(&listener, &places, &mut errors) => accepted,
            };
            let Some((stream, address, permit)) = accepted else { continue };
            let life = Life { leaving: stopping.child_token(), max_age, drain };
            let activity = Activity::new();
            let occupant = Occupant { peer: address.ip(), activity, leaving: life.leaving.clone() };
            let activity = occupant.activity.clone();
            // Closes the connection if its peer has too many.
            let Some(place) = places.take(permit, occupant) else { continue };
            let service = ConnectionService { dispatcher: dispatcher.clone(), life, activity };
            let connection = service.serve(stream, tls.clone(), metrics.clone());
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
        // Joining the threads may block for a moment.
        drop(tokio::task::spawn_blocking(move || drop(workers)).await);
    }
}

/// Accepts one connection. The socket is not registered with this runtime, because the runtime of a
/// worker will serve it.
async fn accept(
    listener: &TcpListener,
    places: &Places,
    errors: &mut AcceptErrors,
) -> Option<(std::net::TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = places.free().await?;
    let accepted = listener.accept().await.and_then(|(stream, address)| {
        // Answers are small, and a client waits for each.
        stream.set_nodelay(true)?;
        Ok((stream.into_std()?, address))
    });
    match accepted {
        Ok((stream, address)) => Some((stream, address, permit)),
        Err(error) => {
            errors.note(&error);
            // Without a pause this loop would use up the CPU.
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

/// How long a connection lives.
struct Life {
    /// Cancelled when it should end.
    leaving: CancellationToken,
    max_age: Option<Duration>,
    drain: Duration,
}

impl Life {
    /// Returns when the connection has been told to end because of its age, and has not in time.
    async fn over(&self) {
        let Some(age) = self.max_age else { return std::future::pending().await };
        // Connections that were opened together do not all end at the same time.
        tokio::time::sleep(age.mul_f64(rand::random_range(0.9..=1.1))).await;
        self.leaving.cancel();
        tokio::time::sleep(self.drain).await;
    }
}

/// All that serves one connection.
struct ConnectionService {
    dispatcher: Arc<Dispatcher>,
    life: Life,
    activity: Arc<Activity>,
}

impl ConnectionService {
    /// Serves a connection on the current runtime.
    async fn serve(
        self,
        stream: std::net::TcpStream,
        tls: Option<Arc<PortTls>>,
        metrics: Arc<Metrics>,
    ) {
        let served = async {
            let stream = TcpStream::from_std(stream)?;
            let address = stream.peer_addr().ok();
            match tls {
                // In a box, so that a connection without TLS needs no room for it.
                Some(tls) => Box::pin(self.encrypted(stream, address, &tls, &metrics)).await,
                None => {
                    let (reader, writer) = stream.into_split();
                    let (arrivals, until) = (Arrivals::new(), connection::end_of_first_words());
                    let reader = TimedReader::new(reader, arrivals.clone())?;
                    let peer = ConnectionPeer { address, uri: None };
                    self.calls(reader, writer, peer, until, arrivals).await
                }
            }
        };
        tokio::select! {
            served = served => if let Err(error) = served {
                if let Some(reason) = connection::close_reason(&error) {
                    metrics.connections_closed.of(reason).increment(1);
                }
                tracing::debug!(%error, "a connection ended early");
            },
            () = self.life.over() => tracing::debug!("an old connection did not finish in time"),
        }
    }

    async fn encrypted(
        &self,
        stream: TcpStream,
        address: Option<SocketAddr>,
        tls: &PortTls,
        metrics: &Metrics,
    ) -> Result<()> {
        let (until, arrivals) = (connection::end_of_first_words(), Arrivals::new());
        let stream = TimedReader::new(stream, arrivals.clone())?;
        let accepted = tokio::select! {
            accepted = tls.accept(stream, until, metrics) => accepted,
            () = connection::too_late(&self.life.leaving) => None,
        };
        let Some(stream) = accepted else { return Ok(()) };
        let TlsPeer { uri } = TlsPeer::of(stream.get_ref().1);
        tracing::debug!(uri = uri.as_deref(), "an encrypted connection was opened");
        let peer = ConnectionPeer { address, uri };
        let (reader, writer) = split(stream);
        self.calls(reader, writer, peer, until, arrivals).await
    }

    async fn calls(
        &self,
        reader: impl AsyncRead + Unpin,
        writer: impl AsyncWrite + Unpin,
        peer: ConnectionPeer,
        until: Instant,
        arrivals: Arrivals,
    ) -> Result<()> {
        let (leaving, activity) = (self.life.leaving.clone(), self.activity.clone());
        let mut context = self.dispatcher.context(leaving, activity, arrivals, peer);
        let memory = context.memory().clone();
        let take = |request, respond| self.dispatcher.take(request, respond, &mut context);
        connection::serve(reader, writer, until, take, memory, &self.life.leaving).await
    }
}
