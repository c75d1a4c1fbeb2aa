//! `aka bench`: load on a running server, from outside.

mod args;
mod caller;
mod cpu;
mod crew;
mod keys;
mod message;
mod pace;
mod prepare;
mod progress;
mod report;
mod run;
mod tally;
mod wire;
mod zipf;

use super::fault::CliFault;
use super::output::OutputFormat;
use super::print::{push_json, to_stdout};
use super::report::finish;
pub use args::BenchArgs;
use keys::Keys;
use report::BenchReport;
use std::process::ExitCode;
use std::sync::Arc;
use wire::Target;

/// Runs `aka bench`.
pub async fn run(args: BenchArgs) -> ExitCode {
    let output = args.output.output;
    finish(output, bench(args).await)
}

async fn bench(args: BenchArgs) -> Result<(), CliFault> {
    args.check()?;
    let keys = Keys::new(args.keys, args.aliases);
    // Also without --prepare: it tells a server that is not there from one that fails.
    let connection = args.client.connect().await?;
    let prepared = match args.prepare {
        true => Some(prepare::prepare(&args, keys, &connection).await?),
        false => None,
    };
    drop(connection);
    let target = target(&args).await?;
    let args = Arc::new(args);
    let outcome = run::run(args.clone(), target, keys).await?;
    let report = BenchReport::new(&args, prepared, outcome);
    let mut out = Vec::new();
    match args.output.output {
        OutputFormat::Text => out.extend_from_slice(report.to_string().as_bytes()),
        OutputFormat::Json => push_json(&mut out, &report)?,
    }
    to_stdout(&out)?;
    match report.bad() {
        0 => Ok(()),
        failed => Err(CliFault::Partly { failed, total: report.total() }),
    }
}

async fn target(args: &BenchArgs) -> Result<Target, CliFault> {
    let url = args.client.server.to_string();
    let unreachable = |message: String| CliFault::Unreachable { server: url.clone(), message };
    let (host, port) = args.client.server.host_and_port();
    let addresses = tokio::net::lookup_host((host, port)).await;
    let address = addresses.map_err(|fault| unreachable(fault.to_string()))?.next();
    let address = address.ok_or_else(|| unreachable("it has no address".to_owned()))?;
    Ok(Target { address, timeout_ms: args.client.timeout_ms, url })
}
