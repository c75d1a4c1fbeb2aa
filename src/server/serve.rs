//! Builds the service, serves until the stop, and drains.

use super::connection::LAST_ARRIVALS;
use super::entrance::{Entrance, EntranceFault, OpenPort};
use super::handover::Offer;
use super::listener::Listener;
use super::sockets::{Addresses, PassedSockets};
use super::workers::Workers;
use super::{descriptors, service_manager};
use crate::admin::{Admin, sweep_forever};
use crate::audit::{AuditSink, AuditTrail};
use crate::auth::Gate;
use crate::config::{Config, ConfigFault, Database};
use crate::hooks;
use crate::metrics::{Metrics, Scarce};
use crate::ops::{Operations, Stage};
use crate::page::{DeskParts, LookupDesk};
use crate::quotas::Quotas;
use crate::resolve::Resolver;
use crate::rpc::{Dispatcher, Doors, RequestMemory};
use crate::shard::{Cluster, ClusterSettings, StartFault};
use crate::store::{Store, StoreError, migrate};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How often raw samples are folded into histograms.
const UPKEEP: Duration = Duration::from_secs(5);

/// Why a server did not start. Each message is one sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum ServeFault {
    #[error(transparent)]
    Config(#[from] ConfigFault),
    #[error(transparent)]
    Entrance(#[from] EntranceFault),
    #[error("cannot start the threads that serve: {0}")]
    Threads(std::io::Error),
    #[error(transparent)]
    Start(#[from] StartFault),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the descriptors that are built in cannot be read: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// Serves until `shutdown` completes or a new process takes over, then drains. `ready` gets the
/// addresses once requests are accepted.
///
/// # Errors
/// If the server does not start.
pub async fn serve(
    config: Config,
    passed: PassedSockets,
    shutdown: impl Future<Output = ()>,
    ready: impl FnOnce(Addresses),
) -> Result<(), ServeFault> {
    let descriptors = descriptors::raise();
    let mut shutdown = pin!(shutdown);
    config.open_audit_log()?;
    // Before the databases are reached, so that a port in use is reported at once.
    let mut entrance = Entrance::open(&config, passed).await?;
    let (addresses, operations) = (entrance.addresses, entrance.operations.clone());
    let stores = open(&config.database).await?;
    hooks::crash("start-databases");
    let sqlite = matches!(config.database, Database::Sqlite(_));
    let reserved = descriptors::reserved(stores.len(), sqlite, &config.cluster.shard);
    let max_connections = descriptors::connections(config.max_connections, descriptors, reserved);
    let started = start_cluster(stores, &config.cluster, &operations, shutdown.as_mut()).await?;
    let Some(cluster) = started else {
        tracing::info!("stopped before the start was complete");
        return Ok(());
    };
    let quotas = quotas(&config, &operations.metrics);
    let admin = Admin::new(cluster.clone(), config.rules.clone(), quotas);
    let (closing, stopping) = (CancellationToken::new(), CancellationToken::new());
    let audit = audit_trail(&config, &operations.metrics)?;
    let dispatcher = dispatcher(&config, &cluster, &admin, &operations, audit.clone())?;
    let workers = Workers::start(&operations.metrics, config.overload_lag);
    let workers = workers.map_err(ServeFault::Threads)?;
    operations.serve(cluster.clone(), desk(&config, &cluster, &admin, &operations, &audit));
    let warm = warm_up(cluster.clone(), operations.clone(), config.ready_timeout);
    let OpenPort { listener, offer } = tokio::select! {
        opened = entrance.take_over(&config, warm, &cluster) => opened?,
        () = shutdown.as_mut() => {
            cluster.stop().await;
            tracing::info!("stopped before it took over");
            return Ok(());
        }
    };
    let listener = Listener {
        listener,
        dispatcher: Arc::new(dispatcher),
        metrics: operations.metrics.clone(),
        tls: config.tls.grpc.clone(),
        max_connections,
        max_connections_per_peer: config.max_connections_per_peer,
        workers,
        closing: closing.clone(),
        stopping: stopping.clone(),
        drain: config.drain_timeout,
        max_age: config.max_connection_age,
    };
    spawn_chores(&cluster, admin, &operations.metrics, config.sweep_pause);
    let serving = tokio::spawn(listener.run());
    warm_soon(&operations).await;
    ready(addresses);

    tokio::select! {
        () = shutdown => leave(&offer, &operations, config.drain_delay, &stopping).await,
        // The service goes on in the new process, so nobody is told that it stops.
        () = offer.taken() => {
            tracing::info!("a new process has taken over: stopping");
            drop(entrance);
        }
    }
    closing.cancel();
    stopping.cancel();
    finish(serving, &audit, &cluster).await;
    Ok(())
}

/// Waits for the last call, and does what comes after it.
async fn finish(serving: JoinHandle<()>, audit: &AuditTrail, cluster: &Cluster) {
    if let Err(error) = serving.await {
        tracing::error!(%error, "the listener failed");
    }
    audit.finish().await;
    cluster.stop().await;
    tracing::info!("stopped");
}

/// Tells callers and clients to go elsewhere.
async fn leave(
    offer: &Offer,
    operations: &Operations,
    delay: Duration,
    stopping: &CancellationToken,
) {
    tracing::info!("stopping");
    operations.set_stage(Stage::Stopping);
    service_manager::stopping();
    // Callers look at the stage now and then. Until they have, they are served as ever.
    tokio::time::sleep(delay).await;
    stopping.cancel();
    // A connection that a client has opened already is not reset, but told to go elsewhere.
    tokio::time::sleep(LAST_ARRIVALS).await;
    // Until here a new process may have the sockets. A later one waits for the end of this one.
    offer.end();
}

fn dispatcher(
    config: &Config,
    cluster: &Arc<Cluster>,
    admin: &Admin,
    operations: &Operations,
    audit: AuditTrail,
) -> Result<Dispatcher, tonic_reflection::server::Error> {
    let metrics = operations.metrics.clone();
    let placeholders = config.rules.placeholders.clone();
    let resolver =
        Resolver::new(cluster.clone(), placeholders, metrics.clone(), quotas(config, &metrics));
    let (admin, stage) = (admin.clone(), operations.watch_stage());
    let (held, refused) = (metrics.request_memory.clone(), metrics.shed.of(Scarce::Memory).clone());
    let memory = RequestMemory::new(config.request_memory, held, refused);
    let gate = Gate::new(config.auth.clone(), metrics.clone());
    let doors = Doors { gate, reflection: config.reflection, audit };
    let limit = config.request_timeout;
    Dispatcher::new(Arc::new(resolver), admin, metrics, limit, memory, stage, doors)
}

/// What answers the lookups of the page on the operations port.
fn desk(
    config: &Config,
    cluster: &Arc<Cluster>,
    admin: &Admin,
    operations: &Operations,
    audit: &AuditTrail,
) -> LookupDesk {
    let metrics = operations.metrics.clone();
    let (placeholders, quotas) = (config.rules.placeholders.clone(), quotas(config, &metrics));
    let gate = Gate::new(config.auth.clone(), metrics.clone());
    let resolver = Resolver::new(cluster.clone(), placeholders, metrics, quotas);
    let parts = DeskParts { cluster: cluster.clone(), resolver, admin: admin.clone() };
    LookupDesk::new(parts, gate, audit.clone(), config.request_timeout)
}

/// The quotas of projects. All that this makes share their buckets.
fn quotas(config: &Config, metrics: &Metrics) -> Quotas {
    Quotas::new(config.limits.clone(), metrics.shed.of(Scarce::Quota).clone())
}

/// The audit trail: to its file, or with principals to the log, or nowhere.
fn audit_trail(config: &Config, metrics: &Arc<Metrics>) -> Result<AuditTrail, ServeFault> {
    let sink = match &config.audit_log {
        Some(file) => AuditSink::File(file.clone()),
        None if config.auth.is_some() => AuditSink::Log,
        None => return Ok(AuditTrail::none()),
    };
    AuditTrail::start(sink, metrics.clone()).map_err(ServeFault::Threads)
}

/// Starts what runs beside the calls until the cluster stops.
fn spawn_chores(cluster: &Cluster, admin: Admin, metrics: &Arc<Metrics>, sweep_pause: Duration) {
    cluster.spawn(service_manager::feed_watchdog());
    cluster.spawn(sweep_forever(admin, metrics.clone(), sweep_pause));
    cluster.spawn(upkeep(metrics.clone()));
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

/// Waits a moment for readiness. Scripts take the line that says "serving" for it, and most instances
/// are warm soon.
async fn warm_soon(operations: &Operations) {
    let mut stage = operations.watch_stage();
    drop(tokio::time::timeout(SOON, stage.wait_for(|stage| *stage != Stage::Warming)).await);
}

/// How long it is not said that the instance serves, in the hope that it will be ready then.
const SOON: Duration = Duration::from_secs(1);

/// How often it is checked whether memory is warm.
const WARM_CHECK: Duration = Duration::from_millis(10);

/// Says that the instance is ready once memory is warm, or after this time.
async fn warm_up(cluster: Arc<Cluster>, operations: Arc<Operations>, longest: Duration) {
    let warm = async {
        while cluster.shards().iter().any(|shard| shard.lacks().is_some()) {
            tokio::time::sleep(WARM_CHECK).await;
        }
    };
    match tokio::time::timeout(longest, warm).await {
        Ok(()) => tracing::info!("ready"),
        Err(_) => tracing::warn!("ready, though memory is not warm yet"),
    }
    if operations.set_ready() {
        service_manager::ready();
    }
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
