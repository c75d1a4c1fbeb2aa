//! Every metric of the service. A metric is one line here: the field that counts it, its kind, its
//! name and its help. All series are registered at the start, so that they show 0 before anything
//! happens and the hot path never looks a name up.
//!
//! Label values come from fixed sets. None is an id, a project or a client.

mod labels;
mod registry;

pub use labels::{
    AuditLineResult, AuditLines, CloseReason, FilterBuilds, GateResult, GateResults,
    HandshakeResult, LookupResult, Lookups, ReloadResult, ReloadedPart, Reloads, Scarce,
    ServerRoles, ShardErrors, Shed, WhichPort, WriteResult, Writes,
};

use aka_core::domain::ShardId;
use labels::{BuildInfo, CertificateExpiry, ClosedConnections, Handled, Handshakes};
use metrics::{Counter, Gauge, Histogram};
use registry::{Registry, series};
use std::ops::Deref;

series! {
    /// The series of the whole service.
    ServiceMetrics {
        build_info: BuildInfo = "aka_build_info", "1, labelled with the version.";
        lookups: Lookups = "aka_lookups_total", "Ids asked for, by how they were answered.";
        writes: Writes = "aka_writes_total", "Writes of aliases, by what came of them.";
        orphans_removed: Counter =
            "aka_orphans_removed_total", "Orphaned inverse rows that the sweeper removed.";
        cache_entries: Gauge = "aka_cache_entries",
            "Entries in the cache; one that is kept twice, in front too, counts twice.";
        cache_bytes: Gauge = "aka_cache_bytes", "Bytes of the cache's budget in use.";
        connections: Gauge = "aka_connections", "Open gRPC connections.";
        tls_handshakes: Handshakes =
            "aka_tls_handshakes_total", "TLS handshakes on both ports, by how they ended.";
        tls_certificate_expiry: CertificateExpiry = "aka_tls_certificate_expiry_seconds",
            "When the certificate of a port expires, in seconds since 1970; 0 without TLS.";
        reloads: Reloads = "aka_reloads_total",
            "Times that files were read again while the service ran, by what came of it.";
        auth: GateResults = "aka_auth_total",
            "Calls that were let in, and refusals, by what the gate said; 0 without principals.";
        audit_lines: AuditLines = "aka_audit_log_lines_total",
            "Lines of the audit trail, by what became of them.";
        connections_closed: ClosedConnections = "aka_connections_closed_total",
            "gRPC connections that the server closed before their clients wanted to, by the reason.";
        request_memory: Gauge = "aka_request_memory_bytes",
            "Bytes of unfinished requests and unread answers.";
        loop_lag_seconds: Histogram = "aka_loop_lag_seconds",
            "How late the timer of a thread that serves connections ran.";
        shed: Shed = "aka_shed_total", "Calls and parts of calls that were refused, by what was scarce.";
    }
}

series! {
    /// The series of one shard.
    ShardMetrics {
        up: Gauge = "aka_shard_up", "1 if the shard can be reached.";
        errors: ShardErrors = "aka_shard_errors_total",
            "Failed calls and logins on the shard's database, by kind.";
        roles: ServerRoles = "aka_shard_role",
            "Servers of the shard that this instance sees, by the role that they claim.";
        primaries: Gauge = "aka_shard_primaries",
            "Servers of the shard that take writes: more than 1 is an operator's error.";
        failovers: Counter = "aka_failovers_total",
            "Times that another server became the shard's primary.";
        replica_reads: Counter = "aka_replica_reads_total",
            "Lookup queries that a server that is not the primary answered.";
        replica_lag: Gauge = "aka_replica_lag_seqs",
            "Changes that the slowest server of the shard lacks.";

        loads: Counter = "aka_lookup_queries_total", "Lookup queries sent to the shard.";
        load_errors: Counter = "aka_lookup_query_errors_total", "Lookup queries that failed.";
        load_keys: Histogram = "aka_lookup_query_keys", "Keys that a lookup query asked for.";
        load_seconds: Histogram = "aka_lookup_query_seconds", "Duration of a lookup query.";
        lane_queue: Gauge = "aka_lookup_queue_keys", "Keys that wait for a lookup query.";

        transactions: Counter =
            "aka_write_transactions_total", "Write transactions on the shard.";
        transaction_errors: Counter =
            "aka_write_transaction_errors_total", "Write transactions that failed.";
        transaction_jobs: Histogram =
            "aka_write_transaction_jobs", "Writes that shared a transaction.";
        transaction_seconds: Histogram =
            "aka_write_transaction_seconds", "Duration of a write transaction.";
        write_queue: Gauge = "aka_write_queue_jobs", "Writes that wait for a transaction.";
        writes_held: Gauge = "aka_writes_held", "Writes that wait for a primary.";

        polls: Counter = "aka_feed_looks_total", "Polls of the shard's change log.";
        changes: Counter =
            "aka_feed_changes_total", "Changes applied from the shard's change log.";
        epochs: Counter = "aka_feed_epochs_total",
            "Times that all that was known of the shard was dropped.";
        propagation_seconds: Histogram = "aka_feed_propagation_seconds",
            "From the begin of a change's transaction until it was applied here.";
        feed_staleness_seconds: Gauge =
            "aka_feed_staleness_seconds", "Age of the last complete poll of the change log.";
        applied_seq: Gauge = "aka_feed_applied_seq", "The last change applied.";
        log_pruned: Counter = "aka_log_pruned_total",
            "Old lines that this instance removed from the change log.";

        filter_keys: Gauge = "aka_filter_keys",
            "About how many aliases the filter knows; 0 while it does not answer.";
        filter_dead: Gauge =
            "aka_filter_dead_keys", "About how many of those are aliases no more.";
        filter_bytes: Gauge = "aka_filter_bytes",
            "Memory of the filter that answers and of one that is filled.";
        filter_scans: Counter = "aka_filter_scans_total",
            "Scans of the table of aliases for the filter, begun.";
        filter_builds: FilterBuilds = "aka_filter_builds_total",
            "Filters that were filled, by what they were filled from.";
        filters_saved: Counter = "aka_filter_saves_total",
            "Snapshots of the filter that were written to disk.";
        filter_save_errors: Counter = "aka_filter_save_errors_total",
            "Snapshots of the filter that could not be written.";

        audit_checked: Counter = "aka_audit_checked_total",
            "Entries of the cache that were compared with the primary.";
        audit_wrong: Counter = "aka_audit_wrong_total",
            "Entries of the cache that were wrong: this must stay 0.";
        audit_dropped: Counter = "aka_audit_dropped_total",
            "Entries that could not be compared with the primary.";
        audit_staleness_seconds: Gauge = "aka_audit_greatest_staleness_seconds",
            "How far behind the primary the auditor has seen the cache, at the most.";
    }
}

series! {
    /// The series of one RPC method. The names are those that gRPC middleware commonly uses.
    RpcMetrics {
        started: Counter = "grpc_server_started_total", "RPCs begun.";
        handled: Handled = "grpc_server_handled_total", "RPCs ended, by code.";
        seconds: Histogram = "grpc_server_handling_seconds", "Duration of RPCs.";
    }
}

/// All metrics of one server. The series of the whole service are its fields.
pub struct Metrics {
    registry: Registry,
    service: ServiceMetrics,
}

impl Metrics {
    /// Makes a registry of its own, so that several servers may run in one process.
    pub fn new() -> Self {
        let registry = Registry::new();
        Self { service: ServiceMetrics::register(&registry, &[]), registry }
    }

    /// Counts a write.
    pub fn count_write(&self, result: WriteResult) {
        self.writes.of(result).increment(1);
    }

    /// Registers the series of a shard.
    pub fn shard(&self, shard: ShardId) -> ShardMetrics {
        ShardMetrics::register(&self.registry, &[("shard", &shard.to_string())])
    }

    /// Registers the series of a method. `kind` says how many messages go each way.
    pub fn rpc(
        &self,
        service: &'static str,
        method: &'static str,
        kind: &'static str,
    ) -> RpcMetrics {
        let labels = [("grpc_type", kind), ("grpc_service", service), ("grpc_method", method)];
        RpcMetrics::register(&self.registry, &labels)
    }

    /// The text that Prometheus scrapes.
    pub fn render(&self) -> String {
        self.registry.render()
    }

    /// Folds raw samples into the histograms. Without it the exporter keeps every sample.
    pub fn upkeep(&self) {
        self.registry.upkeep();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for Metrics {
    type Target = ServiceMetrics;

    fn deref(&self) -> &ServiceMetrics {
        &self.service
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_page_names_every_metric_and_no_other() {
        let page = include_str!("../../docs/metrics.md");
        let quoted = page.lines().filter(|line| line.starts_with('|'));
        let quoted = quoted.flat_map(|line| line.split('`').skip(1).step_by(2));
        let names = quoted.map(|name| name.split('{').next().unwrap_or_default());
        let metric = |name: &&str| name.starts_with("aka_") || name.starts_with("grpc_server_");
        let named: BTreeSet<&str> = names.filter(metric).collect();
        let ours = [ServiceMetrics::NAMES, ShardMetrics::NAMES, RpcMetrics::NAMES].concat();
        assert_eq!(named, ours.into_iter().collect());
    }
}
