//! `aka serve`: runs the service until it is told to stop.

use super::fault::CliFault;
use super::print::to_stdout;
use crate::config::{Config, ServeFlags};
use crate::ops::logging;
use crate::reload::FileFollower;
use crate::server::{PassedSockets, ServeFault, SocketFault, serve};
use std::io::Write;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Flags of `aka serve`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  aka serve
  aka serve --sqlite ./aka.db --listen 127.0.0.1:6000
  aka serve --listen 0.0.0.0:50051 --tls-cert server.pem --tls-key server.key
  AKA_SHARD_PASSWORD=… aka serve --shard mysql://aka@db0/aka --shard mysql://aka@db1/aka
  aka serve --config /etc/aka.toml --print-config

Flags win over the environment, which wins over the file.")]
pub struct ServeArgs {
    #[command(flatten)]
    flags: ServeFlags,

    /// Show the configuration that would be used, without secrets, and exit
    #[arg(long)]
    print_config: bool,
}

pub async fn run(
    args: ServeArgs,
    passed: Result<PassedSockets, SocketFault>,
) -> Result<(), CliFault> {
    let config = Config::load(args.flags)?;
    if args.print_config {
        return to_stdout(config.to_string().as_bytes());
    }
    logging::init(config.log_format, &config.log).map_err(CliFault::Config)?;
    let no_signals = |error| CliFault::Unavailable(format!("cannot listen for signals: {error}"));
    let terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
    let interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
    let hangup = signal(SignalKind::hangup()).map_err(no_signals)?;
    tokio::spawn(hear_hangups(hangup, config.files.clone()));
    let passed = passed.map_err(|fault| ServeFault::Entrance(fault.into()))?;
    let stop = CancellationToken::new();
    // A task, so that a signal is heard whatever the server is doing.
    tokio::spawn(hear_stops(terminate, interrupt, stop.clone()));
    let served = serve(config, passed, stop.cancelled_owned(), |addresses| {
        tracing::info!(grpc = %addresses.grpc, metrics = %addresses.metrics, "serving");
        // Scripts wait for this line; a closed stdout is no reason to stop.
        let _ = writeln!(std::io::stdout(), "aka: serving on {}", addresses.grpc);
    });
    Ok(served.await?)
}

/// SIGHUP ends nothing. It has the certificates of the ports and the principals read again, and the
/// audit log opened again.
async fn hear_hangups(mut hangup: Signal, files: FileFollower) {
    while hangup.recv().await.is_some() {
        tracing::info!(
            "SIGHUP: the certificates of the ports and the principals are read again, and the audit \
             log is opened again; the password file and the authorities of the shards are read at every new connection to a shard; other settings \
             are read at the start"
        );
        files.read_again();
    }
}

/// Cancels `stop` at the first signal to stop. The second one ends the process at once.
async fn hear_stops(mut terminate: Signal, mut interrupt: Signal, stop: CancellationToken) {
    let mut next = async || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    next().await;
    stop.cancel();
    next().await;
    std::process::exit(1);
}
