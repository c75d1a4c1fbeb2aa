//! What may be configured, as flags, environment variables and keys of the file: one list for all
//! three. Every value is optional here; defaults and checks are in `check`.

use crate::ops::logging::LogFormat;
use clap::Args;
use serde::Deserialize;
use std::path::PathBuf;

/// Which databases: shared by `serve`, `migrate` and `check`.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct DatabaseFlags {
    /// The SQLite file of the embedded store [default: aka.db in the user's data folder]
    #[arg(long, env = "AKA_SQLITE", value_name = "PATH")]
    pub sqlite: Option<PathBuf>,

    /// A MySQL shard, mysql://user@host:3306/database; repeated, in shard order
    #[arg(
        long = "shard",
        env = "AKA_SHARDS",
        value_name = "URL",
        value_delimiter = ',',
        // `--help` shows what the environment holds, and a URL may hold a password.
        hide_env_values = true
    )]
    pub shards: Option<Vec<String>>,

    /// A file that holds the password of the shards whose URL has none
    #[arg(long, env = "AKA_SHARD_PASSWORD_FILE", value_name = "PATH")]
    pub shard_password_file: Option<PathBuf>,

    // The password itself comes from AKA_SHARD_PASSWORD alone: a flag would show in the list of
    // processes. See `check`.
    /// How long to wait for a connection to a shard
    #[arg(long, env = "AKA_CONNECT_TIMEOUT_MS", value_name = "MS")]
    pub connect_timeout_ms: Option<u64>,

    /// A TOML file with these settings; its keys are the names of the flags with underscores,
    /// and `shards` is a list
    #[arg(long, env = "AKA_CONFIG", value_name = "FILE.toml")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
}

/// All that `aka serve` takes.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServeFlags {
    #[command(flatten)]
    #[serde(flatten)]
    pub database: DatabaseFlags,

    /// Where to serve gRPC [default: 127.0.0.1:50051]
    #[arg(long, env = "AKA_LISTEN", value_name = "ADDR")]
    pub listen: Option<String>,

    /// Where to serve /metrics, /livez, /readyz and /status [default: 127.0.0.1:9464]
    #[arg(long, env = "AKA_METRICS_LISTEN", value_name = "ADDR")]
    pub metrics_listen: Option<String>,

    /// Memory for remembered answers, in MiB [default: 256]
    #[arg(long, env = "AKA_CACHE_MIB", value_name = "MIB")]
    pub cache_mib: Option<u64>,

    /// Keep a compact set of all alias ids, which answers for most ids that are none [default: true]
    #[arg(long, env = "AKA_FILTER", value_name = "BOOL")]
    pub filter: Option<bool>,

    /// The folder where the set of all alias ids is kept, so that a restart need not read them all
    /// [default: that of the SQLite file; over MySQL it is kept nowhere]
    #[arg(long, env = "AKA_FILTER_DIR", value_name = "PATH")]
    pub filter_dir: Option<PathBuf>,

    /// No answer from memory is older than this; 0: always ask the database [default: 1000]
    #[arg(long, env = "AKA_STALENESS_LIMIT_MS", value_name = "MS")]
    pub staleness_limit_ms: Option<u64>,

    /// If the database does not answer, answers marked `degraded` may be this old; 0: never
    /// [default: 60000]
    #[arg(long, env = "AKA_DEGRADED_LIMIT_MS", value_name = "MS")]
    pub degraded_limit_ms: Option<u64>,

    /// Ids a second that each shard is asked for while its change log cannot be followed, so that
    /// memory may not answer; more are refused, or answered `degraded`; 0: no limit [default: 20000]
    #[arg(long, env = "AKA_STALE_READS_PER_S", value_name = "COUNT")]
    pub stale_reads_per_s: Option<u64>,

    /// The pause between two looks at each shard's change log [default: 20]
    #[arg(long, env = "AKA_FEED_INTERVAL_MS", value_name = "MS")]
    pub feed_interval_ms: Option<u64>,

    /// Connections for lookups, a shard [default: 4]
    #[arg(long, env = "AKA_LANES", value_name = "COUNT")]
    pub lanes: Option<usize>,

    /// How long one query may take [default: 1000]
    #[arg(long, env = "AKA_QUERY_TIMEOUT_MS", value_name = "MS")]
    pub query_timeout_ms: Option<u64>,

    /// How long one RPC may take, if the client sets no shorter deadline [default: 10000]
    #[arg(long, env = "AKA_REQUEST_TIMEOUT_MS", value_name = "MS")]
    pub request_timeout_ms: Option<u64>,

    /// How long to let RPCs finish when stopping [default: 10000]
    #[arg(long, env = "AKA_DRAIN_TIMEOUT_MS", value_name = "MS")]
    pub drain_timeout_ms: Option<u64>,

    /// gRPC connections at once; more wait [default: 10000]
    #[arg(long, env = "AKA_MAX_CONNECTIONS", value_name = "COUNT")]
    pub max_connections: Option<usize>,

    /// Aliases that one canonical id may have [default: 500]
    #[arg(long, env = "AKA_MAX_ALIASES", value_name = "COUNT")]
    pub max_aliases: Option<u64>,

    /// Ids that must not be aliased, in place of the built-in list; case is ignored
    #[arg(
        long = "placeholder",
        env = "AKA_PLACEHOLDERS",
        value_name = "ID",
        value_delimiter = ','
    )]
    pub placeholders: Option<Vec<String>>,

    /// The share of the answers from memory that is compared with the database, 0 to 1; so is each
    /// change of what is remembered, but for 0, where nothing is [default: 0.001]
    #[arg(long, env = "AKA_AUDIT_SAMPLE", value_name = "RATIO")]
    pub audit_sample: Option<f64>,

    /// How old the lines of the change log become before they are removed, 10 minutes at least;
    /// 0: they never are [default: 86400]
    #[arg(long, env = "AKA_RETENTION_S", value_name = "S")]
    pub retention_s: Option<u64>,

    /// The sweeper's pause between two pages of inverse rows [default: 1000]
    #[arg(long, env = "AKA_SWEEP_PAUSE_MS", value_name = "MS")]
    pub sweep_pause_ms: Option<u64>,

    /// How to write the log: text on a terminal and JSON otherwise, or one of them always
    #[arg(long, env = "AKA_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,

    /// What to log: error, warn, info, debug, trace, or by module [default: info]
    #[arg(long, env = "AKA_LOG", value_name = "FILTER")]
    pub log: Option<String>,
}

/// The two kinds of database; a configuration names one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Shards,
}

impl DatabaseFlags {
    /// Drops the other kind of database.
    pub fn keep(&mut self, kind: Kind) {
        match kind {
            Kind::Sqlite => self.shards = None,
            Kind::Shards => self.sqlite = None,
        }
    }

    /// Takes from `below` what is not set here. Who names one kind of database means not the other.
    pub(super) fn over(self, mut below: Self) -> Self {
        if self.sqlite.is_some() {
            below.keep(Kind::Sqlite);
        }
        if self.shards.is_some() {
            below.keep(Kind::Shards);
        }
        Self {
            sqlite: self.sqlite.or(below.sqlite),
            shards: self.shards.or(below.shards),
            shard_password_file: self.shard_password_file.or(below.shard_password_file),
            connect_timeout_ms: self.connect_timeout_ms.or(below.connect_timeout_ms),
            config: self.config,
        }
    }
}

impl ServeFlags {
    /// Takes from `below` what is not set here.
    pub(super) fn over(self, below: Self) -> Self {
        Self {
            database: self.database.over(below.database),
            listen: self.listen.or(below.listen),
            metrics_listen: self.metrics_listen.or(below.metrics_listen),
            cache_mib: self.cache_mib.or(below.cache_mib),
            filter: self.filter.or(below.filter),
            filter_dir: self.filter_dir.or(below.filter_dir),
            staleness_limit_ms: self.staleness_limit_ms.or(below.staleness_limit_ms),
            degraded_limit_ms: self.degraded_limit_ms.or(below.degraded_limit_ms),
            stale_reads_per_s: self.stale_reads_per_s.or(below.stale_reads_per_s),
            feed_interval_ms: self.feed_interval_ms.or(below.feed_interval_ms),
            lanes: self.lanes.or(below.lanes),
            query_timeout_ms: self.query_timeout_ms.or(below.query_timeout_ms),
            request_timeout_ms: self.request_timeout_ms.or(below.request_timeout_ms),
            drain_timeout_ms: self.drain_timeout_ms.or(below.drain_timeout_ms),
            max_connections: self.max_connections.or(below.max_connections),
            max_aliases: self.max_aliases.or(below.max_aliases),
            placeholders: self.placeholders.or(below.placeholders),
            audit_sample: self.audit_sample.or(below.audit_sample),
            retention_s: self.retention_s.or(below.retention_s),
            sweep_pause_ms: self.sweep_pause_ms.or(below.sweep_pause_ms),
            log_format: self.log_format.or(below.log_format),
            log: self.log.or(below.log),
        }
    }
}
