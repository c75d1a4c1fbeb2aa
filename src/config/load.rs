//! The configuration as it is used: every value set, and checked before anything is bound.

use super::database::Database;
use super::fault::ConfigFault;
use super::flags::ServeFlags;
use super::paths::filter_dir;
use super::settings::{DatabaseSettings, ServiceSettings};
use super::tls::{check_exposure, tls_ports};
use super::value::address;
use crate::admin::Rules;
use crate::audit::AuditFile;
use crate::auth::AuthFile;
use crate::ops::logging::LogFormat;
use crate::quotas::LimitsFile;
use crate::reload::{FileFollower, ReloadedFiles};
use crate::rpc::ReflectionAccess;
use crate::shard::{ClusterSettings, LEAST_STALENESS, ShardSettings};
use crate::tls::TlsPorts;
use aka_core::coherence::Limits;
use aka_core::domain::Placeholders;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// All that `aka serve` needs to know. Displayed, it is a file that could be used as it is, but for
/// the secrets.
#[derive(Clone, Debug)]
pub struct Config {
    pub listen: SocketAddr,
    pub metrics_listen: SocketAddr,
    pub tls: TlsPorts,
    /// The principals. `None`: everybody may do everything.
    pub auth: Option<Arc<AuthFile>>,
    pub reflection: ReflectionAccess,
    /// The quotas of projects. `None`: there are none.
    pub limits: Option<Arc<LimitsFile>>,
    /// The file of the audit trail, which is not open yet.
    pub audit_log: Option<Arc<AuditFile>>,
    /// All files that are read again while the service runs.
    pub files: FileFollower,
    /// Whether gRPC may be served beyond loopback with neither TLS nor principals.
    insecure: bool,
    pub database: Database,
    pub cluster: ClusterSettings,
    pub rules: Rules,
    pub request_timeout: Duration,
    pub overload_lag: Duration,
    /// How long a start may be not ready, at most.
    pub ready_timeout: Duration,
    /// By which Unix socket a new process takes over.
    pub handover: Option<PathBuf>,
    pub drain_delay: Duration,
    pub drain_timeout: Duration,
    pub max_connections: usize,
    /// The most gRPC connections from one address. 0: any number.
    pub max_connections_per_peer: usize,
    /// The memory that clients can make the server keep, in bytes.
    pub request_memory: u64,
    /// `None`: connections may become as old as they like.
    pub max_connection_age: Option<Duration>,
    pub sweep_pause: Duration,
    pub log_format: LogFormat,
    pub log: String,
    /// All of these as TOML, without secrets.
    shown: String,
}

impl Config {
    /// Puts the flags and the environment over the file, and checks all.
    ///
    /// # Errors
    /// If the file cannot be read or a setting is wrong.
    pub fn load(flags: ServeFlags) -> Result<Self, ConfigFault> {
        let (database, service) = flags.over_file()?;
        let (names, set) = (database.checked()?, service.checked()?);
        let database = Database::of(&names)?;
        check_groups(&database, set.staleness_limit_ms)?;
        let defaults = ServiceSettings::default();
        let filter_dir = filter_dir(set.filter_dir.clone(), &database)?;
        let placeholders = match &set.placeholders {
            Some(list) => Placeholders::new(list),
            None => Placeholders::default(),
        };
        let (tls, auth) = (tls_ports(&set)?, set.auth_file.clone().map(AuthFile::load).transpose());
        let auth = auth.map_err(|fault| ConfigFault(fault.to_string()))?.map(Arc::new);
        let limits = set.limits_file.clone().map(LimitsFile::load).transpose();
        let limits = limits.map_err(|fault| ConfigFault(fault.to_string()))?.map(Arc::new);
        let audit_log = set.audit_log.clone().map(AuditFile::new).map(Arc::new);
        let mut config = Self {
            listen: address("listen", &set.listen, &defaults.listen)?,
            metrics_listen: address(
                "metrics_listen",
                &set.metrics_listen,
                &defaults.metrics_listen,
            )?,
            files: files(&tls, auth.as_ref(), limits.as_ref(), audit_log.as_ref()),
            tls,
            auth,
            reflection: set.reflection,
            limits,
            audit_log,
            insecure: set.insecure,
            database,
            cluster: ClusterSettings {
                cache_bytes: set.cache_mib << 20,
                limits: Limits {
                    staleness: Duration::from_millis(set.staleness_limit_ms),
                    degraded: Duration::from_millis(set.degraded_limit_ms),
                },
                start_timeout: Duration::from_secs(set.start_timeout_s),
                shard: ShardSettings { filter_dir, ..shard(&names, &set) },
            },
            rules: Rules { placeholders, max_aliases: set.max_aliases },
            request_timeout: Duration::from_millis(set.request_timeout_ms),
            overload_lag: Duration::from_millis(set.overload_lag_ms),
            ready_timeout: Duration::from_secs(set.ready_timeout_s),
            handover: set.handover.clone(),
            drain_delay: Duration::from_millis(set.drain_delay_ms),
            drain_timeout: Duration::from_millis(set.drain_timeout_ms),
            max_connections: set.max_connections,
            max_connections_per_peer: set.max_connections_per_peer,
            request_memory: set.request_memory_mib << 20,
            max_connection_age: (set.max_connection_age_s > 0)
                .then(|| Duration::from_secs(set.max_connection_age_s)),
            sweep_pause: Duration::from_millis(set.sweep_pause_ms),
            log_format: set.log_format,
            log: set.log.clone(),
            shown: String::new(),
        };
        config.check_exposure(config.listen)?;
        config.shown = config.show(names, set);
        Ok(config)
    }

    /// Checks that gRPC may be served on this address, which is another one than `listen` if the
    /// socket comes from elsewhere.
    ///
    /// # Errors
    /// If strangers could reach it, there are neither TLS nor principals, and nobody has said that this
    /// is meant.
    pub fn check_exposure(&self, grpc: SocketAddr) -> Result<(), ConfigFault> {
        check_exposure(grpc, &self.tls, self.auth.is_some(), self.insecure)
    }

    /// Opens the file of the audit trail, if there is to be one.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open_audit_log(&self) -> Result<(), ConfigFault> {
        self.audit_log.as_ref().map_or(Ok(()), |file| file.open()).map_err(ConfigFault)
    }

    /// The settings as TOML. Values that were completed or that may hold a password are replaced.
    fn show(&self, names: DatabaseSettings, set: ServiceSettings) -> String {
        let (sqlite, shards, password) = match &self.database {
            Database::Sqlite(path) => (Some(path.clone()), None, ""),
            Database::MySql { shards, password, .. } => {
                let password = match password {
                    Some(_) => "# the password of shards whose URL has none: set, hidden\n",
                    None => "# the password of shards whose URL has none: not set\n",
                };
                // A URL hides its password when it is displayed.
                (None, Some(shards.iter().map(ToString::to_string).collect()), password)
            }
        };
        let names = DatabaseSettings { sqlite, shards, shard_password_file: None, ..names };
        let set = ServiceSettings {
            listen: self.listen.to_string(),
            metrics_listen: self.metrics_listen.to_string(),
            filter_dir: self.cluster.shard.filter_dir.clone(),
            placeholders: Some(self.rules.placeholders.list().collect()),
            ..set
        };
        format!("{}{password}{}", names.toml(), set.toml())
    }
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// All that is read again.
fn files(
    tls: &TlsPorts,
    auth: Option<&Arc<AuthFile>>,
    limits: Option<&Arc<LimitsFile>>,
    audit_log: Option<&Arc<AuditFile>>,
) -> FileFollower {
    let auth = auth.map(|file| file.clone() as Arc<dyn ReloadedFiles>);
    let audit_log = audit_log.map(|file| file.clone() as Arc<dyn ReloadedFiles>);
    let limits = limits.map(|file| file.clone() as Arc<dyn ReloadedFiles>);
    FileFollower::new(tls.files().chain(auth).chain(limits).chain(audit_log).collect())
}

/// A beat of a group is some hundred milliseconds old (rule 10).
fn check_groups(database: &Database, staleness_limit_ms: u64) -> Result<(), ConfigFault> {
    let least = LEAST_STALENESS.as_millis();
    match database {
        Database::MySql { shards, .. }
            if u128::from(staleness_limit_ms) < least
                && shards.iter().any(|url| url.servers().len() > 1) =>
        {
            Err(ConfigFault(format!(
                "staleness_limit_ms is {staleness_limit_ms}: shards of several servers need at least {least}"
            )))
        }
        _ => Ok(()),
    }
}

/// How a shard is used, with the filter kept nowhere on disk.
fn shard(names: &DatabaseSettings, set: &ServiceSettings) -> ShardSettings {
    ShardSettings {
        lanes: set.lanes,
        lane_pace: Duration::from_micros(set.lane_pace_us),
        stale_reads_per_s: set.stale_reads_per_s,
        connect_timeout: Duration::from_millis(names.connect_timeout_ms),
        query_timeout: Duration::from_millis(set.query_timeout_ms),
        feed_interval: Duration::from_millis(set.feed_interval_ms),
        failover_wait: Duration::from_millis(set.failover_wait_ms),
        retention: Duration::from_secs(set.retention_s),
        audit_sample: set.audit_sample,
        filter: set.filter,
        filter_dir: None,
        // These cannot be set.
        lane_queue: 20_000,
        lane_batch: 256,
        admin_connections: 2,
        write_queue: 10_000,
    }
}

/// What a shard gets if nothing is set.
impl Default for ShardSettings {
    fn default() -> Self {
        shard(&DatabaseSettings::default(), &ServiceSettings::default())
    }
}
