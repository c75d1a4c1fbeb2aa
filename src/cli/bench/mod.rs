//! `aka bench`: puts load on a running server from outside. The load itself is `aka-load`'s.

mod args;
mod prepare;
mod progress;
mod report;

use super::client::Connection;
use super::fault::CliFault;
use super::output::OutputFormat;
use super::print::{push_json, report_to_stdout};
use super::transport::ServerTls;
use aka_load::{ConnectedLoad, LoadError, LoadOutcome, LoadPlan, LoadServer, LoadTls};
pub use args::BenchArgs;
use progress::RunProgress;
use report::BenchReport;
use std::time::{Duration, Instant};

/// Runs `aka bench`.
pub async fn run(args: BenchArgs) -> Result<(), CliFault> {
    let plan = args.plan()?;
    // Also without --prepare: it tells a server that is not there from one that fails.
    let connection = connect(&args).await?;
    let prepared = match args.prepare {
        true => Some(prepare::prepare(&plan, &connection).await?),
        false => None,
    };
    drop(connection);
    let server = server(&args).await?;
    let url = server.url.clone();
    let outcome = load(plan, server).await.map_err(|error| fault(error, url))?;
    let (bad, total) = (outcome.bad(), outcome.total());
    let report = BenchReport::new(&args, prepared, outcome);
    let mut out = Vec::new();
    match args.output.output {
        OutputFormat::Text => out.extend_from_slice(report.to_string().as_bytes()),
        OutputFormat::Json => push_json(&mut out, &report)?,
    }
    report_to_stdout(&out)?;
    match bad {
        0 => Ok(()),
        failed => Err(CliFault::Partly { failed, total }),
    }
}

/// The pause between two attempts to connect.
const CONNECT_PAUSE: Duration = Duration::from_millis(20);

/// Connects, and waits for the server as long as the flags say.
async fn connect(args: &BenchArgs) -> Result<Connection, CliFault> {
    let until = Instant::now() + args.wait;
    loop {
        match args.client.connect().await {
            Err(CliFault::Unreachable { .. }) if Instant::now() < until => {
                tokio::time::sleep(CONNECT_PAUSE).await;
            }
            ended => return ended,
        }
    }
}

/// Runs the load, and shows how far it is.
async fn load(plan: LoadPlan, server: LoadServer) -> Result<LoadOutcome, LoadError> {
    let whole = plan.warm_up + plan.duration;
    let load = ConnectedLoad::connect(plan, server).await?;
    let mut progress = RunProgress::new(load.live(), whole);
    let outcome = tokio::select! {
        outcome = load.run() => outcome,
        never = progress.watch() => match never {},
    };
    progress.end();
    outcome
}

async fn server(args: &BenchArgs) -> Result<LoadServer, CliFault> {
    let url = args.client.server.to_string();
    let unreachable = |message: String| CliFault::Unreachable { server: url.clone(), message };
    let addresses = tokio::net::lookup_host(args.client.server.host_and_port()).await;
    let address = addresses.map_err(|fault| unreachable(fault.to_string()))?.next();
    let address = address.ok_or_else(|| unreachable("it has no address".to_owned()))?;
    let (timeout_ms, pids) = (args.client.timeout_ms, args.server_pid.clone());
    let database_pids = args.database_pid.clone();
    let tls = args.client.tls()?.map(|ServerTls { config, name }| LoadTls { config, name });
    let (others, authorization) = (Vec::new(), args.client.token.header()?);
    let server =
        LoadServer { address, others, url, tls, authorization, timeout_ms, pids, database_pids };
    Ok(server)
}

fn fault(error: LoadError, server: String) -> CliFault {
    match error {
        LoadError::Plan(message) => CliFault::Usage(message.to_owned()),
        LoadError::NoProcess(_) => CliFault::Usage(format!("--server-pid: {error}")),
        LoadError::Url(fault) => CliFault::Usage(format!("--server: {fault}")),
        LoadError::Unreachable => {
            let message = "it does not accept a connection".to_owned();
            CliFault::Unreachable { server, message }
        }
        LoadError::Io { what, source } => CliFault::Io { what, source },
        LoadError::Broken(message) => CliFault::malformed(&message),
    }
}
