//! The configuration as it is used: every value set, and checked before anything is bound.

use super::layer::{DatabaseFlags, ServeFlags};
use crate::admin::Rules;
use crate::ops::logging::LogFormat;
use crate::shard::{ClusterSettings, ShardSettings};
use crate::store::{MySqlStore, ShardUrl, SqliteStore, StoreError};
use aka_core::coherence::Limits;
use aka_core::domain::Placeholders;
use rustix::fs::{Access, access};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is wrong with the configuration. One clear sentence; it never quotes a password.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigFault(pub String);

/// Where the aliases are.
#[derive(Clone, Debug)]
pub enum Database {
    Sqlite(PathBuf),
    MySql { shards: Vec<ShardUrl>, password: Option<Secret>, connect_timeout: Duration },
}

/// A text that is never shown.
#[derive(Clone)]
pub struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// All that `aka serve` needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    pub listen: SocketAddr,
    pub metrics_listen: SocketAddr,
    pub database: Database,
    pub cluster: ClusterSettings,
    pub rules: Rules,
    pub request_timeout: Duration,
    pub drain_timeout: Duration,
    pub max_connections: usize,
    pub sweep_pause: Duration,
    pub log_format: LogFormat,
    pub log: String,
}

impl Config {
    /// Puts flags and environment (`flags`, which clap has merged) over the file, and checks all.
    pub fn load(flags: ServeFlags) -> Result<Self, ConfigFault> {
        let file: ServeFlags = match &flags.database.config {
            Some(path) => read_file(path)?,
            None => ServeFlags::default(),
        };
        let set = flags.over(file);
        let defaults = ShardSettings::default();
        let connect_timeout_ms = set.database.connect_timeout_ms;
        let database = Database::check(set.database)?;
        let shard = ShardSettings {
            lanes: number("lanes", set.lanes, 4, 1..=64)?,
            connect_timeout: short("connect_timeout_ms", connect_timeout_ms, 1_000)?,
            query_timeout: short("query_timeout_ms", set.query_timeout_ms, 1_000)?,
            feed_interval: millis("feed_interval_ms", set.feed_interval_ms, 20, 1)?,
            stale_reads_per_s: number(
                "stale_reads_per_s",
                set.stale_reads_per_s,
                20_000,
                0..=1_000_000_000,
            )?,
            filter: set.filter.unwrap_or(true),
            filter_dir: filter_dir(set.filter_dir, &database)?,
            audit_sample: number("audit_sample", set.audit_sample, 0.001, 0.0..=1.0)?,
            // Ten years, for who wants to keep everything and still see a number.
            retention: number("retention_s", set.retention_s, 86_400, 0..=315_360_000)
                .map(Duration::from_secs)?,
            ..defaults
        };
        let limits = Limits {
            staleness: millis("staleness_limit_ms", set.staleness_limit_ms, 1_000, 0)?,
            degraded: millis("degraded_limit_ms", set.degraded_limit_ms, 60_000, 0)?,
        };
        let cache_mib = number("cache_mib", set.cache_mib, 256, 0..=1 << 20)?;
        Ok(Self {
            listen: address("listen", set.listen, "127.0.0.1:50051")?,
            metrics_listen: address("metrics_listen", set.metrics_listen, "127.0.0.1:9464")?,
            database,
            cluster: ClusterSettings { cache_bytes: cache_mib << 20, limits, shard },
            rules: Rules {
                placeholders: set
                    .placeholders
                    .map_or_else(Placeholders::default, Placeholders::new),
                max_aliases: number("max_aliases", set.max_aliases, 500, 1..=1_000_000)?,
            },
            request_timeout: millis("request_timeout_ms", set.request_timeout_ms, 10_000, 1)?,
            drain_timeout: millis("drain_timeout_ms", set.drain_timeout_ms, 10_000, 0)?,
            max_connections: number("max_connections", set.max_connections, 10_000, 1..=1 << 20)?,
            sweep_pause: millis("sweep_pause_ms", set.sweep_pause_ms, 1_000, 1)?,
            log_format: set.log_format.unwrap_or_default(),
            log: set.log.unwrap_or_else(|| "info".to_owned()),
        })
    }
}

impl Database {
    /// The databases alone, for `migrate` and `check`. A file may hold all of `serve`'s settings.
    pub fn load(flags: DatabaseFlags) -> Result<Self, ConfigFault> {
        let file: ServeFlags = match &flags.config {
            Some(path) => read_file(path)?,
            None => ServeFlags::default(),
        };
        Self::check(flags.over(file.database))
    }

    fn check(flags: DatabaseFlags) -> Result<Self, ConfigFault> {
        let connect_timeout = short("connect_timeout_ms", flags.connect_timeout_ms, 1_000)?;
        let password = password(flags.shard_password_file.as_deref())?;
        // A variable that is set but empty, as Compose files make it, names nothing.
        let mut shards = flags.shards.unwrap_or_default();
        shards.retain(|url| !url.trim().is_empty());
        match (flags.sqlite, shards.is_empty()) {
            (Some(_), false) => Err(ConfigFault(
                "both a SQLite file and shards are named: name one of the two".to_owned(),
            )),
            (Some(path), true) => Ok(Self::Sqlite(path)),
            (None, true) => Ok(Self::Sqlite(default_path()?)),
            (None, false) => {
                if shards.len() > usize::from(aka_core::domain::SLOTS) {
                    return Err(ConfigFault("a cluster has at most 4096 shards".to_owned()));
                }
                let parsed = shards.iter().map(|url| url.trim().parse::<ShardUrl>());
                let shards: Vec<_> =
                    parsed.collect::<Result<_, _>>().map_err(|e| ConfigFault(e.to_string()))?;
                if let Some(twice) = first_twice(&shards) {
                    return Err(ConfigFault(format!("the shard {twice} is named twice")));
                }
                Ok(Self::MySql { shards, password, connect_timeout })
            }
        }
    }

    /// The stores of MySQL shards.
    pub fn mysql(
        shards: &[ShardUrl],
        password: Option<&Secret>,
        connect_timeout: Duration,
    ) -> Result<Vec<MySqlStore>, StoreError> {
        let password = password.map(|password| password.0.as_str());
        let store = |url: &ShardUrl| MySqlStore::new(url.clone(), password, connect_timeout);
        shards.iter().map(store).collect()
    }

    /// The store of a SQLite file, whose folder is made if need be.
    pub fn sqlite(path: &Path) -> Result<SqliteStore, ConfigFault> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|error| {
                ConfigFault(format!("cannot make the folder {}: {error}", folder.display()))
            })?;
        }
        Ok(SqliteStore::new(path.to_owned()))
    }
}

fn first_twice(shards: &[ShardUrl]) -> Option<&ShardUrl> {
    shards.iter().enumerate().find(|(n, url)| shards[..*n].contains(url)).map(|(_, url)| url)
}

fn read_file(path: &Path) -> Result<ServeFlags, ConfigFault> {
    let fault = |error: String| {
        ConfigFault(format!("the configuration {} cannot be read: {error}", path.display()))
    };
    let text = std::fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        fault(format!("line {line}: {}", error.message()))
    })?;
    // Key by key, to say which line is wrong. What is wrong with a value is not quoted: it may be a
    // password.
    for (key, value) in &table {
        let alone = toml::Table::from_iter([(key.clone(), value.clone())]);
        if let Err(error) = alone.try_into::<ServeFlags>() {
            let what = match error.message().starts_with("unknown field") {
                true => format!("there is no setting {key:?}"),
                false => match error.message().rsplit_once("expected ") {
                    Some((_, kind)) => format!("{key} must be {kind}"),
                    None => format!("{key} has a value of the wrong kind"),
                },
            };
            return Err(fault(format!("line {}: {what}", line_of(key, &text))));
        }
    }
    table.try_into().map_err(|_| fault("the settings do not fit together".to_owned()))
}

/// The line on which a key of the file is set.
fn line_of(key: &str, text: &str) -> usize {
    let sets = |line: &str| {
        let rest = line.trim_start().trim_start_matches(['"', '\'']).strip_prefix(key);
        let rest = rest.map(|rest| rest.trim_start_matches(['"', '\'']).trim_start());
        rest.is_some_and(|rest| rest.starts_with(['=', '.']))
            || line.trim().trim_matches(['[', ']']) == key
    };
    text.lines().position(sets).map_or(1, |index| index + 1)
}

fn password(file: Option<&Path>) -> Result<Option<Secret>, ConfigFault> {
    let Some(path) = file else {
        return Ok(std::env::var("AKA_SHARD_PASSWORD").ok().map(Secret));
    };
    let text = std::fs::read_to_string(path).map_err(|error| {
        ConfigFault(format!("the password file {} cannot be read: {error}", path.display()))
    })?;
    Ok(Some(Secret(text.trim_end_matches(['\r', '\n']).to_owned())))
}

fn default_path() -> Result<PathBuf, ConfigFault> {
    let folders = directories::ProjectDirs::from("", "", "aka").ok_or_else(|| {
        ConfigFault("there is no home folder for the data: name a file with --sqlite".to_owned())
    })?;
    Ok(folders.data_dir().join("aka.db"))
}

/// A folder that is named must be there. Where none is, the embedded store's own will do, which is made
/// when that is opened; over MySQL the service writes nothing to disk unless it is told to.
fn filter_dir(set: Option<PathBuf>, database: &Database) -> Result<Option<PathBuf>, ConfigFault> {
    let beside = match database {
        Database::Sqlite(path) => path.parent().map(Path::to_owned),
        Database::MySql { .. } => None,
    };
    // The folder of a mere file name.
    let beside =
        beside.map(|folder| if folder.as_os_str().is_empty() { ".".into() } else { folder });
    let Some(folder) = set.filter(|folder| Some(folder) != beside.as_ref()) else {
        return Ok(beside);
    };
    let fault = |what: String| Err(ConfigFault(format!("filter_dir is {folder:?}, {what}")));
    match std::fs::metadata(&folder) {
        Err(error) => return fault(format!("which cannot be looked into: {error}")),
        Ok(found) if !found.is_dir() => return fault("which is no folder".to_owned()),
        Ok(_) => {}
    }
    // Also where the file system is read-only.
    match access(&folder, Access::WRITE_OK | Access::EXEC_OK) {
        Err(error) => fault(format!("which cannot be written to: {error}")),
        Ok(()) => Ok(Some(folder)),
    }
}

fn address(name: &str, text: Option<String>, default: &str) -> Result<SocketAddr, ConfigFault> {
    let text = text.unwrap_or_else(|| default.to_owned());
    let found = text.to_socket_addrs().ok().and_then(|mut all| all.next());
    found.ok_or_else(|| {
        ConfigFault(format!("{name} is {text:?}, which is no address such as {default}"))
    })
}

fn millis(name: &str, set: Option<u64>, default: u64, least: u64) -> Result<Duration, ConfigFault> {
    // A day: nothing that is waited for takes longer.
    number(name, set, default, least..=86_400_000).map(Duration::from_millis)
}

/// At most a minute: the sweeper counts on a write's second step coming within seconds.
fn short(name: &str, set: Option<u64>, default: u64) -> Result<Duration, ConfigFault> {
    number(name, set, default, 1..=60_000).map(Duration::from_millis)
}

fn number<T>(
    name: &str,
    set: Option<T>,
    default: T,
    range: std::ops::RangeInclusive<T>,
) -> Result<T, ConfigFault>
where
    T: PartialOrd + std::fmt::Display,
{
    let value = set.unwrap_or(default);
    if range.contains(&value) {
        return Ok(value);
    }
    let (least, most) = range.into_inner();
    Err(ConfigFault(format!("{name} is {value}, but must be {least} to {most}")))
}
