//! `aka serve`: runs the service until it is told to stop.

use super::{exit, fail};
use crate::config::{Config, DatabaseFlags, ServeFlags};
use crate::ops::logging;
use crate::server::{ServeFault, serve};
use crate::shard::StartFault;
use crate::store::StoreError;
use std::io::Write;
use std::process::ExitCode;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Flags of `aka serve`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  aka serve
  aka serve --sqlite ./aka.db --listen 127.0.0.1:6000
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

impl ServeArgs {
    pub(super) fn database(&mut self) -> &mut DatabaseFlags {
        &mut self.flags.database
    }
}

pub async fn run(args: ServeArgs) -> ExitCode {
    let config = match Config::load(args.flags) {
        Ok(config) => config,
        Err(fault) => return fail(exit::CONFIG, fault),
    };
    if args.print_config {
        print!("{config}");
        return ExitCode::SUCCESS;
    }
    if let Err(fault) = logging::init(config.log_format, &config.log) {
        return fail(exit::CONFIG, fault);
    }
    let (terminate, interrupt) =
        match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
            (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
            (Err(error), _) | (_, Err(error)) => {
                return fail(exit::UNAVAILABLE, format!("cannot listen for signals: {error}"));
            }
        };
    let served = serve(config, stop_signal(terminate, interrupt), |addresses| {
        tracing::info!(grpc = %addresses.grpc, metrics = %addresses.metrics, "serving");
        // Scripts wait for this line; a closed stdout is no reason to stop.
        let _ = writeln!(std::io::stdout(), "aka: serving on {}", addresses.grpc);
    });
    match served.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => fail(exit_code(&fault), fault),
    }
}

/// Done at the first signal to stop. A second one ends the process at once.
async fn stop_signal(mut terminate: Signal, mut interrupt: Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        std::process::exit(1);
    });
}

fn exit_code(fault: &ServeFault) -> u8 {
    match fault {
        ServeFault::Config(_)
        | ServeFault::Start(StartFault::Wrong(_))
        | ServeFault::Store(StoreError::WrongShard(_)) => exit::CONFIG,
        _ => exit::UNAVAILABLE,
    }
}
