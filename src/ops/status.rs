//! The status of an instance, which `/status` serves and `aka status` shows.
//!
//! Its counts are those of `/metrics`. They are counted once, and read from there.

use super::operations::{Operations, Stage};
use crate::metrics::{FilterBuilds, ServerRoles, ShardErrors};
use crate::page::LookupDesk;
use crate::shard::{ServerReport, Shard, ShardError};
use aka_core::clock::Boottime;
use aka_core::coherence::Filter;
use aka_core::domain::Bar;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// The status of an instance. A field that a server of another version does not send has its
/// default.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct InstanceStatus {
    pub version: String,
    pub cluster: String,
    /// False while the server stops.
    pub serving: bool,
    /// Whether its memory is warm, so that load may be sent to it.
    pub ready: bool,
    /// Whether the lookups of the page want to know who asks.
    pub principals: bool,
    pub cache: CacheStatus,
    /// How many ids were asked for, by outcome.
    pub lookups: BTreeMap<String, u64>,
    pub staleness_limit_seconds: f64,
    /// How long lines of the change log are kept. 0 means for ever.
    pub retention_seconds: u64,
    pub audit_sample: f64,
    pub shards: Vec<ShardStatus>,
}

/// The cache, which all shards share.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct CacheStatus {
    pub entries: u64,
    pub bytes: u64,
    pub budget_bytes: u64,
}

/// The status of one shard, as this instance sees it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct ShardStatus {
    pub shard: u16,
    /// The database's address, without a password.
    pub address: String,
    pub up: bool,
    /// The servers of a group. Empty if the shard is one server.
    pub servers: Vec<ServerStatus>,
    /// Why the database refused the last write transaction. None if it was committed.
    pub write_error: Option<ErrorStatus>,
    /// The last error, also if it has passed.
    pub last_error: Option<ErrorStatus>,
    /// The seq of the last change applied. None until the shard was first reached.
    pub applied_seq: Option<u64>,
    /// How long ago the last complete poll of the change log began.
    pub staleness_seconds: Option<f64>,
    /// The filter. None while it is being filled.
    pub filter: Option<FilterStatus>,
    pub changes: u64,
    pub epochs: u64,
    /// Lines of the change log that this instance removed.
    pub log_pruned: u64,
    pub audit: AuditStatus,
}

/// One server of a shard, as this instance sees it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct ServerStatus {
    pub address: String,
    /// The role that it claims: the label of `aka_shard_role`.
    pub role: String,
    /// Whether this instance uses it.
    pub in_use: bool,
    /// None if it does not answer.
    pub seq: Option<u64>,
    /// How many changes it lacks.
    pub lag: Option<u64>,
    /// How long it has had this role.
    pub role_seconds: f64,
}

impl ServerStatus {
    fn of(report: ServerReport) -> Self {
        let ServerReport { server, role, in_use, seq, lag, since } = report;
        Self {
            address: server.to_string(),
            role: ServerRoles::label(role).to_owned(),
            in_use,
            seq,
            lag,
            role_seconds: since.elapsed().as_secs_f64(),
        }
    }
}

/// An error of a shard's database, in its own words.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct ErrorStatus {
    /// The label of `aka_shard_errors_total`.
    pub kind: String,
    /// The reason that clients are told.
    pub reason: String,
    pub text: String,
    pub seconds_ago: f64,
}

impl ErrorStatus {
    fn of(ShardError { error, at }: &ShardError) -> Self {
        let reason = match error.bar() {
            None => "SHARD_UNAVAILABLE",
            Some(Bar::ReadOnly) => "SHARD_READ_ONLY",
            Some(Bar::Full) => "SHARD_FULL",
            Some(Bar::Refused) => "SHARD_REFUSED",
        };
        Self {
            kind: ShardErrors::label(error).to_owned(),
            reason: reason.to_owned(),
            text: error.to_string(),
            seconds_ago: at.elapsed().as_secs_f64(),
        }
    }
}

/// The filter of one shard.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct FilterStatus {
    /// About how many ids it holds.
    pub aliases: u64,
    /// About how many of them are no aliases any more.
    pub dead: u64,
    pub bytes: u64,
    /// What it was filled from: `scan` or `snapshot`.
    pub source: String,
}

impl FilterStatus {
    fn of(filter: &Filter) -> Self {
        let source = FilterBuilds::label(filter.source);
        let (aliases, dead, bytes) = (filter.len(), filter.dead(), filter.bytes());
        Self { aliases, dead, bytes, source: source.to_owned() }
    }
}

/// What the auditor of one shard has done.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct AuditStatus {
    /// Entries that were compared with the primary.
    pub checked: u64,
    /// Entries that differed from it. This must stay 0.
    pub wrong: u64,
    /// Entries that could not be compared.
    pub dropped: u64,
    pub greatest_staleness_seconds: f64,
}

impl InstanceStatus {
    /// The status at this moment. `None` while the instance starts.
    pub fn of(operations: &Operations) -> Option<Self> {
        let (cluster, metrics) = (operations.cluster()?, &operations.metrics);
        cluster.gauge(metrics);
        let text = metrics.render();
        let figures = Figures::read(&text);
        let shard_of = |shard| ShardStatus::of(shard, &figures);
        let settings = cluster.shards().first().map(|shard| &shard.settings);
        Some(Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            cluster: cluster.id.to_string(),
            serving: operations.stage() != Stage::Stopping,
            ready: operations.stage() == Stage::Ready,
            principals: operations.desk().is_some_and(LookupDesk::has_principals),
            cache: CacheStatus {
                entries: cluster.cache.kept(),
                bytes: cluster.cache.weight(),
                budget_bytes: cluster.cache.budget(),
            },
            lookups: figures.by_label("aka_lookups_total"),
            staleness_limit_seconds: cluster.limits.staleness.as_secs_f64(),
            retention_seconds: settings.map_or(0, |settings| settings.retention.as_secs()),
            audit_sample: settings.map_or(0.0, |settings| settings.audit_sample),
            shards: cluster.shards().iter().map(|shard| shard_of(shard)).collect(),
        })
    }
}

impl ShardStatus {
    fn of(shard: &Shard, figures: &Figures) -> Self {
        let figure = |name: &str| figures.of_shard(name, shard);
        let age = shard.memory.freshness().age(Boottime::now());
        Self {
            shard: shard.id.0,
            address: shard.address(),
            up: shard.is_up(),
            servers: shard.servers().into_iter().map(ServerStatus::of).collect(),
            write_error: shard.write_error().as_ref().map(ErrorStatus::of),
            last_error: shard.last_error().as_ref().map(ErrorStatus::of),
            applied_seq: shard.memory.cursor().map(|at| at.seq),
            staleness_seconds: age.map(|age| age.as_secs_f64()),
            filter: shard.memory.filter().map(|filter| FilterStatus::of(&filter)),
            changes: figure("aka_feed_changes_total") as u64,
            epochs: figure("aka_feed_epochs_total") as u64,
            log_pruned: figure("aka_log_pruned_total") as u64,
            audit: AuditStatus {
                checked: figure("aka_audit_checked_total") as u64,
                wrong: figure("aka_audit_wrong_total") as u64,
                dropped: figure("aka_audit_dropped_total") as u64,
                greatest_staleness_seconds: figure("aka_audit_greatest_staleness_seconds"),
            },
        }
    }
}

/// The series and their values, read from the text that Prometheus scrapes. The handles can count,
/// but cannot be read.
struct Figures<'a>(HashMap<&'a str, f64>);

impl<'a> Figures<'a> {
    fn read(text: &'a str) -> Self {
        let values = text.lines().filter(|line| !line.starts_with('#'));
        let values = values.filter_map(|line| line.rsplit_once(' '));
        Self(values.filter_map(|(series, value)| Some((series, value.parse().ok()?))).collect())
    }

    fn of_shard(&self, name: &str, shard: &Shard) -> f64 {
        let series = format!("{name}{{shard=\"{}\"}}", shard.id);
        self.0.get(series.as_str()).copied().unwrap_or_default()
    }

    /// The values of a metric by its only label.
    fn by_label(&self, name: &str) -> BTreeMap<String, u64> {
        let values = self.0.iter().filter_map(|(series, value)| {
            let labels = series.strip_prefix(name)?.strip_prefix('{')?.strip_suffix("\"}")?;
            let (_, label) = labels.split_once("=\"")?;
            Some((label.to_owned(), *value as u64))
        });
        values.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_what_prometheus_scrapes() {
        let figures = Figures::read(
            "# TYPE a counter\na_total{x=\"y\"} 3\na_total{x=\"z\"} 4\n\nb 0.5\na_total_more{x=\"y\"} 9\n",
        );
        let found = figures.by_label("a_total");
        assert_eq!(found, BTreeMap::from([("y".to_owned(), 3), ("z".to_owned(), 4)]));
        assert_eq!(figures.0.get("b"), Some(&0.5));
    }
}
