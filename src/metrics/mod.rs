//! Every metric of the service: handles made once, so that all series are there from the start and
//! the hot path pays a few nanoseconds. Label sets are fixed; never an id, a project or a client.

use aka_core::domain::ShardId;
use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder, Unit};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use std::collections::HashMap;
use tonic::Code;

/// Latency buckets in seconds: from a cache hit to a time-out.
const SECONDS: [f64; 16] = [
    0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1,
    0.25, 0.5, 1.0, 2.5,
];
/// Buckets for counts of keys or jobs.
const COUNTS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

const METADATA: Metadata<'static> = Metadata::new("aka", Level::INFO, None);

/// All handles.
pub struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    pub lookups: Lookups,
    pub writes: HashMap<WriteResult, Counter>,
    pub orphans_removed: Counter,
    pub cache_entries: Gauge,
    pub cache_bytes: Gauge,
    pub connections: Gauge,
}

/// `aka_lookups_total{outcome}`: one count for each id that was asked for.
pub struct Lookups {
    pub invalid: Counter,
    pub filtered: Counter,
    pub hit: Counter,
    pub negative_hit: Counter,
    pub loaded: Counter,
    pub coalesced: Counter,
    pub degraded: Counter,
    pub unavailable: Counter,
    pub overloaded: Counter,
    pub deadline_exceeded: Counter,
}

/// What came of a write; the label of `aka_writes_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WriteResult {
    Created,
    Updated,
    Deleted,
    Unchanged,
    Refused,
    Failed,
}

impl WriteResult {
    const ALL: [Self; 6] =
        [Self::Created, Self::Updated, Self::Deleted, Self::Unchanged, Self::Refused, Self::Failed];

    fn label(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// The series of one shard.
pub struct ShardMetrics {
    pub up: Gauge,
    pub loads: Counter,
    pub load_errors: Counter,
    pub load_keys: Histogram,
    pub load_seconds: Histogram,
    pub lane_queue: Gauge,
    pub transactions: Counter,
    pub transaction_errors: Counter,
    pub transaction_jobs: Histogram,
    pub transaction_seconds: Histogram,
    pub write_queue: Gauge,
    pub looks: Counter,
    pub changes: Counter,
    pub epochs: Counter,
    pub propagation_seconds: Histogram,
    pub feed_staleness_seconds: Gauge,
    pub applied_seq: Gauge,
    pub filter_keys: Gauge,
    pub filter_dead: Gauge,
    pub filter_bytes: Gauge,
    pub filter_scans: Counter,
    pub filters_scanned: Counter,
    pub filters_restored: Counter,
    pub filters_saved: Counter,
    pub filter_save_errors: Counter,
    pub log_pruned: Counter,
    pub audit_checked: Counter,
    pub audit_wrong: Counter,
    pub audit_dropped: Counter,
    pub audit_staleness_seconds: Gauge,
}

/// The series of one method, in the names that gRPC middleware has made customary.
pub struct RpcMetrics {
    pub started: Counter,
    pub seconds: Histogram,
    handled: Vec<Counter>,
}

impl RpcMetrics {
    /// Counts a call that ended with this code.
    pub fn handled(&self, code: Code) {
        if let Some(counter) = self.handled.get(code as usize) {
            counter.increment(1);
        }
    }
}

/// The names of the gRPC codes, by their numbers.
const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

impl Metrics {
    /// A registry of its own, so that several servers may run in one process.
    pub fn new() -> Self {
        let builder = PrometheusBuilder::new();
        // Both fail only for an empty list of buckets.
        let builder = builder
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
            .and_then(|b| b.set_buckets_for_metric(Matcher::Suffix("_keys".to_owned()), &COUNTS))
            .and_then(|b| b.set_buckets_for_metric(Matcher::Suffix("_jobs".to_owned()), &COUNTS))
            .unwrap_or_else(|_| PrometheusBuilder::new());
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        let series = Series(&recorder);
        series.describe();
        let lookup = |outcome| series.counter("aka_lookups_total", &[("outcome", outcome)]);
        let lookups = Lookups {
            invalid: lookup("invalid"),
            filtered: lookup("filtered"),
            hit: lookup("hit"),
            negative_hit: lookup("negative_hit"),
            loaded: lookup("loaded"),
            coalesced: lookup("coalesced"),
            degraded: lookup("degraded"),
            unavailable: lookup("unavailable"),
            overloaded: lookup("overloaded"),
            deadline_exceeded: lookup("deadline_exceeded"),
        };
        let write = |result: WriteResult| {
            (result, series.counter("aka_writes_total", &[("result", result.label())]))
        };
        let writes = WriteResult::ALL.into_iter().map(write).collect();
        let version = env!("CARGO_PKG_VERSION");
        series.gauge("aka_build_info", &[("version", version)]).set(1.0);
        Self {
            lookups,
            writes,
            orphans_removed: series.counter("aka_orphans_removed_total", &[]),
            cache_entries: series.gauge("aka_cache_entries", &[]),
            cache_bytes: series.gauge("aka_cache_bytes", &[]),
            connections: series.gauge("aka_connections", &[]),
            handle,
            recorder,
        }
    }

    pub fn wrote(&self, result: WriteResult) {
        if let Some(counter) = self.writes.get(&result) {
            counter.increment(1);
        }
    }

    pub fn shard(&self, shard: ShardId) -> ShardMetrics {
        let (series, shard) = (Series(&self.recorder), shard.to_string());
        let labels: &[(&'static str, &str)] = &[("shard", &shard)];
        let built = |source| {
            series.counter("aka_filter_builds_total", &[("shard", &shard), ("source", source)])
        };
        ShardMetrics {
            up: series.gauge("aka_shard_up", labels),
            loads: series.counter("aka_lookup_queries_total", labels),
            load_errors: series.counter("aka_lookup_query_errors_total", labels),
            load_keys: series.histogram("aka_lookup_query_keys", labels),
            load_seconds: series.histogram("aka_lookup_query_seconds", labels),
            lane_queue: series.gauge("aka_lookup_queue_keys", labels),
            transactions: series.counter("aka_write_transactions_total", labels),
            transaction_errors: series.counter("aka_write_transaction_errors_total", labels),
            transaction_jobs: series.histogram("aka_write_transaction_jobs", labels),
            transaction_seconds: series.histogram("aka_write_transaction_seconds", labels),
            write_queue: series.gauge("aka_write_queue_jobs", labels),
            looks: series.counter("aka_feed_looks_total", labels),
            changes: series.counter("aka_feed_changes_total", labels),
            epochs: series.counter("aka_feed_epochs_total", labels),
            propagation_seconds: series.histogram("aka_feed_propagation_seconds", labels),
            feed_staleness_seconds: series.gauge("aka_feed_staleness_seconds", labels),
            applied_seq: series.gauge("aka_feed_applied_seq", labels),
            filter_keys: series.gauge("aka_filter_keys", labels),
            filter_bytes: series.gauge("aka_filter_bytes", labels),
            filter_dead: series.gauge("aka_filter_dead_keys", labels),
            filter_scans: series.counter("aka_filter_scans_total", labels),
            filters_scanned: built("scan"),
            filters_restored: built("snapshot"),
            filters_saved: series.counter("aka_filter_saves_total", labels),
            filter_save_errors: series.counter("aka_filter_save_errors_total", labels),
            audit_checked: series.counter("aka_audit_checked_total", labels),
            audit_wrong: series.counter("aka_audit_wrong_total", labels),
            audit_dropped: series.counter("aka_audit_dropped_total", labels),
            audit_staleness_seconds: series.gauge("aka_audit_greatest_staleness_seconds", labels),
            log_pruned: series.counter("aka_log_pruned_total", labels),
        }
    }

    pub fn rpc(
        &self,
        service: &'static str,
        method: &'static str,
        kind: &'static str,
    ) -> RpcMetrics {
        let series = Series(&self.recorder);
        let labels: &[(&'static str, &str)] =
            &[("grpc_type", kind), ("grpc_service", service), ("grpc_method", method)];
        let handled = CODES.iter().map(|&code| {
            let labels = [labels, &[("grpc_code", code)]].concat();
            series.counter("grpc_server_handled_total", &labels)
        });
        RpcMetrics {
            started: series.counter("grpc_server_started_total", labels),
            seconds: series.histogram("grpc_server_handling_seconds", labels),
            handled: handled.collect(),
        }
    }

    /// The text that Prometheus scrapes.
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Folds raw samples into the histograms: without it the exporter keeps every sample.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

struct Series<'a>(&'a PrometheusRecorder);

impl Series<'_> {
    fn key(name: &'static str, labels: &[(&'static str, &str)]) -> Key {
        let labels = labels.iter().map(|&(name, value)| Label::new(name, value.to_owned()));
        Key::from_parts(name, labels.collect::<Vec<_>>())
    }

    fn counter(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Counter {
        let counter = self.0.register_counter(&Self::key(name, labels), &METADATA);
        counter.increment(0);
        counter
    }

    fn gauge(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Gauge {
        let gauge = self.0.register_gauge(&Self::key(name, labels), &METADATA);
        gauge.set(0.0);
        gauge
    }

    fn histogram(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Histogram {
        self.0.register_histogram(&Self::key(name, labels), &METADATA)
    }

    fn describe(&self) {
        for (name, text) in [
            ("aka_lookups_total", "Ids asked for, by how they were answered."),
            ("aka_writes_total", "Writes of aliases, by what came of them."),
            ("aka_orphans_removed_total", "Orphaned inverse rows that the sweeper removed."),
            ("aka_lookup_queries_total", "Lookup queries sent to the shard."),
            ("aka_lookup_query_errors_total", "Lookup queries that failed."),
            ("aka_write_transactions_total", "Write transactions on the shard."),
            ("aka_write_transaction_errors_total", "Write transactions that failed."),
            ("aka_feed_looks_total", "Looks at the shard's change log."),
            ("aka_feed_changes_total", "Changes applied from the shard's change log."),
            ("aka_feed_epochs_total", "Times that all that was known of the shard was dropped."),
            ("aka_filter_scans_total", "Scans of the table of aliases for the filter, begun."),
            ("aka_filter_builds_total", "Filters that were filled, by what they were filled from."),
            ("aka_filter_saves_total", "Snapshots of the filter that were written to disk."),
            ("aka_filter_save_errors_total", "Snapshots of the filter that could not be written."),
            ("aka_log_pruned_total", "Old lines that this instance removed from the change log."),
            (
                "aka_audit_checked_total",
                "Entries of the cache that were compared with the primary.",
            ),
            ("aka_audit_wrong_total", "Entries of the cache that were wrong: this must stay 0."),
            ("aka_audit_dropped_total", "Entries that could not be compared with the primary."),
            ("grpc_server_started_total", "RPCs begun."),
            ("grpc_server_handled_total", "RPCs ended, by code."),
        ] {
            self.0.describe_counter(name.into(), None, text.into());
        }
        for (name, text) in [
            ("aka_build_info", "1, labelled with the version."),
            (
                "aka_cache_entries",
                "Entries in the cache; one that is kept twice, in front too, counts twice.",
            ),
            ("aka_cache_bytes", "Bytes of the cache's budget in use."),
            ("aka_connections", "Open gRPC connections."),
            ("aka_shard_up", "1 if the shard can be reached."),
            ("aka_lookup_queue_keys", "Keys that wait for a lookup query."),
            ("aka_write_queue_jobs", "Writes that wait for a transaction."),
            ("aka_feed_staleness_seconds", "Age of the last complete look at the change log."),
            ("aka_feed_applied_seq", "The last change applied."),
            (
                "aka_filter_keys",
                "About how many aliases the filter knows; 0 while it does not answer.",
            ),
            ("aka_filter_dead_keys", "About how many of those are aliases no more."),
            ("aka_filter_bytes", "Memory of the filter that answers and of one that is filled."),
            (
                "aka_audit_greatest_staleness_seconds",
                "How far behind the primary the auditor has seen the cache, at the most.",
            ),
        ] {
            self.0.describe_gauge(name.into(), None, text.into());
        }
        for (name, unit, text) in [
            ("aka_lookup_query_keys", Unit::Count, "Keys that a lookup query asked for."),
            ("aka_lookup_query_seconds", Unit::Seconds, "Duration of a lookup query."),
            ("aka_write_transaction_jobs", Unit::Count, "Writes that shared a transaction."),
            ("aka_write_transaction_seconds", Unit::Seconds, "Duration of a write transaction."),
            (
                "aka_feed_propagation_seconds",
                Unit::Seconds,
                "From the begin of a change's transaction until it was applied here.",
            ),
            ("grpc_server_handling_seconds", Unit::Seconds, "Duration of RPCs."),
        ] {
            self.0.describe_histogram(name.into(), Some(unit), text.into());
        }
    }
}
