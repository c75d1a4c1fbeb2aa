//! The settings, once: each entry is the only place that names its setting.
//!
//! An entry gives key, type, unit (as `--help` shows it), default, bounds and help. From it follow:
//!
//! - the key in the file: `cache_mib`;
//! - the flag: `--cache-mib` (a list names the flag of one item itself: `--shard`);
//! - the environment variable: `AKA_CACHE_MIB`;
//! - the help, with the default at its end;
//! - which layer wins: flags over environment over file;
//! - the check of the bounds, and the line of `--print-config`.
//!
//! A setting without a default here is an `Option`; `load.rs`, `database.rs` and `paths.rs` say
//! what its absence means. The tests in `documented.rs` compare `docs/configuration.md` with these
//! entries.

use super::table::settings;
use crate::ops::logging::LogFormat;
use crate::rpc::ReflectionAccess;
use crate::tls::{ClientAuth, TlsVersion};
use std::path::PathBuf;

/// The longest wait that can be set: a day, in milliseconds.
const DAY_MS: u64 = 86_400_000;
/// The sweeper relies on this: the second step of a write begins within seconds of its first.
const MINUTE_MS: u64 = 60_000;
/// Ten years, in seconds: long enough to keep every line.
const TEN_YEARS_S: u64 = 315_360_000;

settings! {
    /// Which databases: shared by `serve`, `migrate`, `check` and `export`.
    DatabaseLayer => DatabaseSettings {
        /// The SQLite file of the embedded store [default: aka.db in the data folder]
        sqlite: PathBuf [PATH];

        /// A MySQL shard, mysql://user@host:3306/database; repeated, in shard order
        // `--help` shows what the environment holds, and a URL may hold a password.
        #[arg(long = "shard", value_delimiter = ',', hide_env_values = true)]
        shards: Vec<String> [URL];

        // The password itself comes from AKA_SHARD_PASSWORD alone: a flag would show in the list of
        // processes.
        /// A file that holds the password of the shards whose URL has none
        shard_password_file: PathBuf [PATH];

        /// How long to wait for a connection to a shard
        connect_timeout_ms: u64 [MS] = 1_000, in 1..=MINUTE_MS;
    }

    /// All other settings of `aka serve`.
    ServiceLayer => ServiceSettings {
        /// Where to serve gRPC
        listen: String [ADDR] = "127.0.0.1:50051";

        /// Where to serve the page /ui, /metrics, /livez, /readyz and /status
        metrics_listen: String [ADDR] = "127.0.0.1:9464";

        /// The certificate of the gRPC port in PEM, with those of the authorities between it and a
        /// root: the port speaks TLS
        tls_cert: PathBuf [FILE];

        /// The private key of that certificate in PEM; nobody else may be able to read the file
        tls_key: PathBuf [FILE];

        /// The authorities of the certificates of gRPC clients, in PEM
        tls_client_ca: PathBuf [FILE];

        /// Whether gRPC clients must show a certificate [default: required with --tls-client-ca, else
        /// none]
        tls_client_auth: ClientAuth [WHEN];

        /// The oldest version of TLS on the gRPC port
        tls_min_version: TlsVersion [VERSION] = TlsVersion::V1_3;

        /// The same as --tls-cert, for the port of --metrics-listen
        metrics_tls_cert: PathBuf [FILE];

        /// The same as --tls-key, for that port
        metrics_tls_key: PathBuf [FILE];

        /// The same as --tls-client-ca, for that port
        metrics_tls_client_ca: PathBuf [FILE];

        /// The same as --tls-client-auth, for that port [default: required with
        /// --metrics-tls-client-ca, else none]
        metrics_tls_client_auth: ClientAuth [WHEN];

        /// The same as --tls-min-version, for that port
        metrics_tls_min_version: TlsVersion [VERSION] = TlsVersion::V1_3;

        /// The principals, in TOML: who may call, in which role, for which projects; without it,
        /// whoever reaches the port may do everything
        auth_file: PathBuf [FILE];

        /// How many ids a second each project may look up and write, in TOML; for each instance on its
        /// own
        limits_file: PathBuf [FILE];

        /// Who may read the descriptors of the services (server reflection): open, admin (the role), off
        reflection: ReflectionAccess [WHO] = ReflectionAccess::Open;

        /// Where to append a line for each admin call [default: with --auth-file standard error, else
        /// nowhere]
        audit_log: PathBuf [FILE];

        /// Serve gRPC beyond loopback with neither TLS nor principals: whoever reaches the port may
        /// change every alias
        #[arg(num_args = 0..=1, default_missing_value = "true")]
        insecure: bool [BOOL] = false;

        /// Memory for remembered answers, in MiB
        cache_mib: u64 [MIB] = 256, in 0..=1 << 20;

        /// Keep a compact set of all alias ids; it answers for most ids that are not aliases
        filter: bool [BOOL] = true;

        /// The folder where the set of all alias ids is kept, and the answers asked for lately, so
        /// that a restart need not read them all; protect it as the database [default: the SQLite
        /// file's folder; over MySQL none]
        filter_dir: PathBuf [PATH];

        /// No answer from memory is older than this; 0: always ask the database
        staleness_limit_ms: u64 [MS] = 1_000, in 0..=DAY_MS;

        /// If the database does not answer, answers marked `degraded` may be this old; 0: never
        degraded_limit_ms: u64 [MS] = 60_000, in 0..=DAY_MS;

        /// Ids a second that each shard is asked for while its change log cannot be followed, so
        /// that memory may not answer; more are refused, or answered `degraded`; 0: no limit
        stale_reads_per_s: u64 [COUNT] = 20_000, in 0..=1_000_000_000;

        /// The pause between two polls of each shard's change log
        feed_interval_ms: u64 [MS] = 20, in 1..=DAY_MS;

        /// Connections for lookups, for each shard
        lanes: usize [COUNT] = 4, in 1..=64;

        /// How long a shard under load is left alone between two lookup queries, at most, so that
        /// ids gather; 0: ask at once
        lane_pace_us: u64 [US] = 4_000, in 0..=1_000_000;

        /// How long one query may take
        query_timeout_ms: u64 [MS] = 1_000, in 1..=MINUTE_MS;

        /// How long a write waits for the next primary while its shard, a group of servers, has none
        failover_wait_ms: u64 [MS] = 5_000, in 0..=MINUTE_MS;

        /// How long one RPC may take, if the client sets no shorter deadline
        request_timeout_ms: u64 [MS] = 10_000, in 1..=DAY_MS;

        /// How late a thread that serves connections may be, for a tenth of a second, before it refuses
        /// what costs much: loads, large batches, writes
        overload_lag_ms: u64 [MS] = 5, in 1..=MINUTE_MS;

        /// How long a start waits until a shard can be reached; 0: for ever
        start_timeout_s: u64 [S] = 0, in 0..=TEN_YEARS_S;

        /// How long a start may say that it is not ready while memory warms up; lookups are answered
        /// meanwhile
        ready_timeout_s: u64 [S] = 30, in 0..=TEN_YEARS_S;

        /// A Unix socket by which a new `aka serve` with the same setting takes over from this one
        handover: PathBuf [PATH];

        /// How long to go on after SIGTERM, not ready, until callers have learnt to go elsewhere
        drain_delay_ms: u64 [MS] = 0, in 0..=DAY_MS;

        /// How long to let RPCs finish when stopping
        drain_timeout_ms: u64 [MS] = 10_000, in 0..=DAY_MS;

        /// gRPC connections at once; more wait
        max_connections: usize [COUNT] = 10_000, in 1..=1 << 20;

        /// gRPC connections at once from one IP address (IPv6: from one /64); further ones are closed
        /// at once; 0: any number
        max_connections_per_peer: usize [COUNT] = 0, in 0..=1 << 20;

        /// Memory for requests that are not whole yet and for answers that clients do not read;
        /// beyond it, such calls are refused
        request_memory_mib: u64 [MIB] = 256, in 16..=1 << 20;

        /// The age, give or take a tenth, at which a connection is ended in order, so that clients
        /// find new instances; 0: never
        max_connection_age_s: u64 [S] = 0, in 0..=TEN_YEARS_S;

        /// Aliases that one canonical id may have
        max_aliases: u64 [COUNT] = 500, in 1..=1_000_000;

        /// Ids that must not be aliased, in place of the built-in list; case is ignored [default: a
        /// list of 65]
        #[arg(long = "placeholder", value_delimiter = ',')]
        placeholders: Vec<String> [ID];

        /// The share of the answers from memory that is compared with the database, 0 to 1; each
        /// change of a remembered key is compared too; 0: nothing is compared
        audit_sample: f64 [RATIO] = 0.001, in 0.0..=1.0;

        /// The age at which lines of the change log are removed, 10 minutes at least; 0: they are
        /// never removed
        retention_s: u64 [S] = 86_400, in 0..=TEN_YEARS_S;

        /// The sweeper's pause between two pages of inverse rows
        sweep_pause_ms: u64 [MS] = 1_000, in 1..=DAY_MS;

        /// How to write the log: text on a terminal and JSON otherwise, or one of them always
        log_format: LogFormat [FORMAT] = LogFormat::Auto;

        /// What to log: error, warn, info, debug, trace, or by module
        log: String [FILTER] = "info";
    }
}
