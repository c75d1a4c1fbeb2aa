//! The entrance of an instance: its listening sockets, from wherever they come, the operations port
//! behind one of them, and the handover from the old process and to the new one.

use super::handover::{HandoverFault, Offer, OldProcess, Predecessor, PreparedOffer};
use super::sockets::{Addresses, PassedSockets, SocketFault, Sockets};
use crate::config::{Config, ConfigFault};
use crate::hooks;
use crate::metrics::Metrics;
use crate::ops::{Operations, http};
use crate::shard::Cluster;
use crate::tls::PortTls;
use std::io;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// Why an instance cannot be reached. Each message is one sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum EntranceFault {
    #[error(transparent)]
    Sockets(#[from] SocketFault),
    #[error(transparent)]
    Handover(#[from] HandoverFault),
    #[error(transparent)]
    Config(#[from] ConfigFault),
    #[error("the listening sockets cannot be used: {0}")]
    Unusable(#[from] io::Error),
}

/// The entrance. Dropping it closes the operations port.
pub(super) struct Entrance {
    pub addresses: Addresses,
    pub operations: Arc<Operations>,
    /// Those of the offer, later. A copy that stays open keeps the port open.
    sockets: Option<Sockets>,
    predecessor: Option<Predecessor>,
    /// TLS of the operations port, if it has one.
    tls: Option<Arc<PortTls>>,
    /// The operations port, while it is open.
    probes: Option<AbortOnDropHandle<()>>,
    /// Reads certificates and principals again.
    _followed: AbortOnDropHandle<()>,
}

/// The open gRPC port.
pub(super) struct OpenPort {
    pub listener: TcpListener,
    /// The offer of the sockets to a new process.
    pub offer: Offer,
}

impl Entrance {
    /// Opens the operations port, unless an old process still serves on it.
    pub async fn open(config: &Config, passed: PassedSockets) -> Result<Self, EntranceFault> {
        let found = match config.handover.as_deref() {
            Some(path) => OldProcess::find(path).await?,
            None => OldProcess::Nobody,
        };
        let (predecessor, sockets) = match found {
            OldProcess::Offers(predecessor, sockets) => (Some(predecessor), sockets),
            OldProcess::Ends(end) => {
                tracing::info!("the old process is stopping: waiting for its end");
                (None, passed.or_bind_after(end, config).await?)
            }
            OldProcess::Nobody => (None, passed.or_bind(config)?),
        };
        let (addresses, takes_over) = (sockets.addresses()?, predecessor.is_some());
        let Addresses { grpc, metrics } = addresses;
        // The sockets may come from elsewhere.
        config.check_exposure(grpc)?;
        tracing::info!(%grpc, %metrics, takes_over, "starting");
        let operations = Arc::new(Operations::new(Arc::new(Metrics::new())));
        let following = config.files.clone().follow(operations.metrics.clone());
        let mut entrance = Self {
            addresses,
            operations,
            sockets: Some(sockets),
            predecessor,
            tls: config.tls.metrics.clone(),
            probes: None,
            _followed: AbortOnDropHandle::new(tokio::spawn(following)),
        };
        if !takes_over {
            // Probes are answered while the databases are waited for.
            let probes = register(entrance.share()?.metrics)?;
            entrance.answer_probes(probes);
        }
        Ok(entrance)
    }

    /// Opens the gRPC port when requests may be accepted: at once, or, if there is an old process,
    /// when memory is `warm` and the old one has been told.
    pub async fn take_over(
        &mut self,
        config: &Config,
        warm: impl Future<Output = ()> + Send + 'static,
        cluster: &Cluster,
    ) -> Result<OpenPort, EntranceFault> {
        let Some(predecessor) = self.predecessor.take() else {
            cluster.spawn(warm);
            let listener = register(self.share()?.grpc)?;
            let offer = self.prepare_offer(config)?.map(PreparedOffer::make).transpose()?;
            return Ok(OpenPort { listener, offer: offer.unwrap_or_else(Offer::none) });
        };
        hooks::crash("handover-starts");
        warm.await;
        hooks::hold("handover-warm").await;
        hooks::crash("handover-warm");
        // All that may fail comes before the old process is told. From then on nobody else serves.
        let Sockets { grpc, metrics } = self.share()?;
        let (listener, probes) = (register(grpc)?, register(metrics)?);
        let offer = self.prepare_offer(config)?;
        predecessor.go().await;
        self.answer_probes(probes);
        let offer = offer.map(PreparedOffer::make).transpose().unwrap_or_else(|error| {
            tracing::error!(%error, "the next process cannot take over from this one");
            None
        });
        Ok(OpenPort { listener, offer: offer.unwrap_or_else(Offer::none) })
    }

    /// An offer of the sockets to a new process, if that is configured.
    fn prepare_offer(&mut self, config: &Config) -> Result<Option<PreparedOffer>, HandoverFault> {
        match (config.handover.as_deref(), self.sockets.take()) {
            (Some(path), Some(sockets)) => PreparedOffer::new(path, sockets).map(Some),
            _ => Ok(None),
        }
    }

    fn share(&self) -> io::Result<Sockets> {
        self.sockets.as_ref().ok_or(io::ErrorKind::NotConnected)?.share()
    }

    fn answer_probes(&mut self, listener: TcpListener) {
        let serving = http::serve(listener, self.operations.clone(), self.tls.clone());
        let serving = tokio::spawn(serving);
        self.probes = Some(AbortOnDropHandle::new(serving));
    }
}

/// A socket for the current runtime.
fn register(socket: std::net::TcpListener) -> io::Result<TcpListener> {
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket)
}
