//! Builds the service, serves until the stop, and drains.

use super::descriptors;
use super::listener::Listener;
use super::workers::{self, Workers};
use crate::admin::{Admin, sweep_forever};
use crate::config::{Config, ConfigFault, Database};
use crate::metrics::Metrics;
use crate::ops::{Operations, Stage, http};
use crate::resolve::Resolver;
use crate::rpc::Dispatcher;
use crate::shard::{Cluster, ClusterSettings, StartFault};
use crate::store::{Store, StoreError, migrate};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// How often raw samples are folded into histograms.
const UPKEEP: Duration = Duration::from_secs(5);

/// The addresses that a server listens on. Port 0 is replaced by the real port.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// The address of the gRPC socket.
    pub grpc: SocketAddr,
    /// The address of the operations port: metrics, probes and status.
    pub metrics: SocketAddr,
}

/// Why a server did not start. Each message is one sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum ServeFault {
    #[error(transparent)]
    Config(#[from] ConfigFault),
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    #[error("cannot start the threads that serve: {0}")]
    Threads(std::io::Error),
    #[error(transparent)]
    Start(#[from] StartFault),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the descriptors that are built in cannot be read: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// Serves until `shutdown` completes, then drains. `ready` gets the addresses once requests are
/// accepted.
///
/// # Errors
/// If the server does not start.
pub async fn serve(
    config: Config,
    shutdown: impl Future<Output = ()>,
    ready: impl FnOnce(Addresses),
) -> Result<(), ServeFault> {
    let descriptors = descriptors::raise();
    // Bound before the databases are reached, so that a port in use is reported at once.
    let listener = listen(config.listen).await?;
    let metrics_listener = listen(config.metrics_listen).await?;
    let addresses = Addresses {
        grpc: listener.local_addr().map_err(|e| ServeFault::Listen(config.listen, e))?,
        metrics: metrics_listener
            .local_addr()
            .map_err(|e| ServeFault::Listen(config.metrics_listen, e))?,
    };
    let metrics = Arc::new(Metrics::new());
    let operations = Arc::new(Operations::new(metrics.clone()));
    tracing::info!(grpc = %addresses.grpc, metrics = %addresses.metrics, "starting");
    // Probes are answered while the databases are waited for.
    let probes = tokio::spawn(http::serve(metrics_listener, operations.clone()));
    let _probes = AbortOnDropHandle::new(probes);
    let stores = open(&config.database).await?;
    let sqlite = matches!(config.database, Database::Sqlite(_));
    let reserved = descriptors::reserved(stores.len(), sqlite, &config.cluster.shard);
    let max_connections = descriptors::connections(config.max_connections, descriptors, reserved);
    let mut shutdown = pin!(shutdown);
    let started = start_cluster(stores, &config.cluster, &operations, shutdown.as_mut()).await?;
    let Some(cluster) = started else {
        tracing::info!("stopped before the start was complete");
        return Ok(());
    };
    let workers = Workers::start(workers::count()).map_err(ServeFault::Threads)?;
    let admin = Admin::new(cluster.clone(), config.rules.clone());
    let placeholders = config.rules.placeholders.clone();
    let stopping = CancellationToken::new();
    let dispatcher = Dispatcher::new(
        Arc::new(Resolver::new(cluster.clone(), placeholders, metrics.clone())),
        admin.clone(),
        metrics.clone(),
        config.request_timeout,
        stopping.clone(),
    )?;

    operations.serve(cluster.clone());
    cluster.spawn(sweep_forever(admin, metrics.clone(), config.sweep_pause));
    cluster.spawn(upkeep(metrics.clone()));
    let stop = stopping.clone();
    let listener = Listener {
        listener,
        dispatcher: Arc::new(dispatcher),
        metrics,
        max_connections,
        workers,
        stopping: stop,
    };
    let serving = tokio::spawn(listener.run(config.drain_timeout));
    ready(addresses);

    shutdown.await;
    tracing::info!("stopping");
    operations.set_stage(Stage::Stopping);
    stopping.cancel();
    if let Err(error) = serving.await {
        tracing::error!(%error, "the listener failed");
    }
    cluster.stop().await;
    tracing::info!("stopped");
    Ok(())
}

/// Starts the cluster, and tells operators what it waits for. `None`: the server was told to stop
/// first.
async fn start_cluster(
    stores: Vec<Box<dyn Store>>,
    settings: &ClusterSettings,
    operations: &Operations,
    shutdown: Pin<&mut impl Future<Output = ()>>,
) -> Result<Option<Arc<Cluster>>, StartFault> {
    let waiting = |error: &StoreError| {
        operations.set_stage(Stage::Starting { waits_for: error.to_string() });
    };
    tokio::select! {
        started = Cluster::start(stores, settings, &operations.metrics, waiting) => {
            started.map(Some)
        }
        () = shutdown => Ok(None),
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ServeFault> {
    TcpListener::bind(address).await.map_err(|error| ServeFault::Listen(address, error))
}

/// Opens the stores. The embedded one is migrated here; operators migrate MySQL shards.
async fn open(database: &Database) -> Result<Vec<Box<dyn Store>>, ServeFault> {
    Ok(match database {
        Database::Sqlite(path) => {
            let store = Database::sqlite(path)?;
            migrate::sqlite(&store, migrate::Phases::EXPAND).await?;
            vec![Box::new(store)]
        }
        Database::MySql { shards, password, connect_timeout } => {
            Database::mysql(shards, password.as_ref(), *connect_timeout)?
                .into_iter()
                .map(|store| Box::new(store) as Box<dyn Store>)
                .collect()
        }
    })
}

async fn upkeep(metrics: Arc<Metrics>) {
    loop {
        tokio::time::sleep(UPKEEP).await;
        metrics.upkeep();
    }
}
