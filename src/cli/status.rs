//! `aka status`: how an instance and its shards are.

use super::fault::CliFault;
use super::operations;
use super::output::{OutputArgs, OutputFormat};
use super::print::{push_json, report_to_stdout};
use super::server_error::ServerError;
use super::server_url::ServerUrl;
use super::text::printable;
use super::transport::TlsArgs;
use crate::ops::{ErrorStatus, FilterStatus, InstanceStatus, ServerStatus, ShardStatus};
use clap::Args;
use std::fmt::Write;
use std::time::Duration;
use tonic::Code;

/// Show how a server and its shards are: the feed, the cache, the lookups, the audit.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  aka status
  aka status --metrics-server aka.internal:9464
  aka status --metrics-server https://aka.internal:9464 --ca ca.pem
  aka status --output json | jq '.shards[] | {shard, up, staleness_seconds}'

Exit codes: 0 the server serves and all its shards are up, 1 it is stopping, a shard is down or \
refused its last write, 69 server unreachable.")]
pub struct StatusArgs {
    /// Where the server serves its metrics, as URL or as HOST:PORT; https://… speaks TLS
    #[arg(long, env = "AKA_METRICS_SERVER", value_name = "URL", default_value = DEFAULT_SERVER)]
    #[arg(value_parser = ServerUrl::parse_metrics)]
    pub metrics_server: ServerUrl,

    /// How long the server may take, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=86_400_000))]
    pub timeout_ms: u64,

    #[command(flatten)]
    pub tls: TlsArgs,

    #[command(flatten)]
    pub output: OutputArgs,
}

const DEFAULT_SERVER: &str = "http://127.0.0.1:9464";

/// Runs `aka status`.
pub async fn run(args: StatusArgs) -> Result<(), CliFault> {
    let limit = Duration::from_millis(args.timeout_ms);
    let body = operations::get(&args.metrics_server, &args.tls, "/status", limit).await?;
    let malformed = |_| CliFault::malformed("the server's status cannot be read");
    let status: InstanceStatus = serde_json::from_slice(&body).map_err(malformed)?;
    let mut out = Vec::new();
    match args.output.output {
        OutputFormat::Text => out.extend(text(&status).into_bytes()),
        OutputFormat::Json => {
            // All that it said, also fields that only a newer server has.
            let all: serde_json::Value = serde_json::from_slice(&body).map_err(malformed)?;
            push_json(&mut out, &all)?;
        }
    }
    report_to_stdout(&out)?;
    healthy(&status)
}

fn healthy(status: &InstanceStatus) -> Result<(), CliFault> {
    let error = |reason: &str, message: &str| -> Result<(), CliFault> {
        Err(ServerError::new(Code::Unavailable, reason, message).into())
    };
    let those = |is_one: fn(&ShardStatus) -> bool| {
        let shards = status.shards.iter().filter(|shard| is_one(shard));
        shards.map(|shard| shard.shard.to_string()).collect::<Vec<_>>().join(", ")
    };
    let (down, refusing) = (those(|it| !it.up), those(|it| it.write_error.is_some()));
    if !status.serving {
        return error("NOT_SERVING", "the server is stopping");
    }
    if !down.is_empty() {
        let message = format!("shards that cannot be reached: {down}");
        return error("SHARD_UNAVAILABLE", &message);
    }
    let write_error = status.shards.iter().find_map(|shard| shard.write_error.as_ref());
    match write_error {
        Some(ErrorStatus { reason, .. }) => {
            error(reason, &format!("shards that refused the last write: {refusing}"))
        }
        None => Ok(()),
    }
}

fn text(status: &InstanceStatus) -> String {
    let InstanceStatus { version, cluster, cache, lookups, .. } = status;
    let serves = if status.serving { "serves" } else { "is stopping" };
    let warms = if status.serving && !status.ready { "; its memory warms up" } else { "" };
    let mut out = format!("aka {version} {serves}, cluster {cluster}{warms}\n");
    let lookups: Vec<_> =
        lookups.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
    let (mib, budget_mib) = (mib(cache.bytes), mib(cache.budget_bytes));
    let retention = match status.retention_seconds {
        0 => "for ever".to_owned(),
        seconds => format!("for {seconds} s"),
    };
    // Writing to a string does not fail.
    let _ = writeln!(out, "lookups: {}", lookups.join(", "));
    let _ = writeln!(out, "cache: {} entries, {mib:.1} of {budget_mib:.0} MiB", cache.entries);
    let _ = writeln!(out, "staleness limit: {} s", status.staleness_limit_seconds);
    let _ = writeln!(out, "change log: kept {retention}");
    let _ = writeln!(out, "audit: {} of the answers", status.audit_sample);
    status.shards.iter().for_each(|shard| push_shard(&mut out, shard));
    // Texts of the server must not control the terminal.
    out.lines().map(|line| printable(line) + "\n").collect()
}

fn push_shard(out: &mut String, status: &ShardStatus) {
    let ShardStatus { shard, address, filter, changes, epochs, log_pruned, audit, .. } = status;
    let up = match status {
        ShardStatus { up: false, .. } => "DOWN",
        ShardStatus { write_error: Some(_), .. } => "up, WRITES REFUSED",
        _ => "up",
    };
    let feed = match (status.applied_seq, status.staleness_seconds) {
        (Some(seq), Some(staleness)) => format!("seq {seq} applied, {staleness:.3} s ago"),
        _ => "not followed".to_owned(),
    };
    let _ = writeln!(out, "shard {shard} ({address}): {up}");
    for server in &status.servers {
        let ServerStatus { address, role, in_use, seq, lag, role_seconds } = server;
        let position = match (seq, lag) {
            (Some(seq), Some(lag)) => format!(", seq {seq}, {lag} behind"),
            _ => String::new(),
        };
        let used = if *in_use { ", in use" } else { "" };
        let _ = writeln!(out, "  server {address}: {role} for {role_seconds:.0} s{position}{used}");
    }
    let errors = [("last write", &status.write_error), ("last error", &status.last_error)];
    for (what, error) in errors {
        if let Some(ErrorStatus { kind, text, seconds_ago, .. }) = error {
            // A text of the database may have line ends.
            let text = text.replace(['\n', '\r'], " ");
            let _ = writeln!(out, "  {what}: {kind}, {seconds_ago:.0} s ago: {text}");
        }
    }
    let _ = writeln!(
        out,
        "  feed: {feed}; {changes} changes, {epochs} epochs, {log_pruned} lines pruned"
    );
    let _ = match filter {
        Some(FilterStatus { aliases, dead, bytes, source }) => {
            let mib = mib(*bytes);
            writeln!(
                out,
                "  filter: {aliases} aliases, {dead} of them dead, {mib:.1} MiB, from a {source}"
            )
        }
        None => writeln!(out, "  filter: none"),
    };
    let _ = writeln!(
        out,
        "  audit: {} checked, {} wrong, {} dropped; {:.3} s behind at the most",
        audit.checked, audit.wrong, audit.dropped, audit.greatest_staleness_seconds
    );
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
