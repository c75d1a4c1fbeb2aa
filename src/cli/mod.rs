//! The command line.

mod alias;
mod check;
mod client;
mod completions;
mod fault;
mod health;
mod lines;
mod migrate;
mod print;
mod resolve;
mod serve;

use clap::{CommandFactory, Parser, Subcommand};
use std::process::ExitCode;

/// Exit codes, from BSD's sysexits.
mod exit {
    pub const REFUSED: u8 = 1;
    pub const USAGE: u8 = 2;
    pub const CONFIG: u8 = 64;
    pub const UNAVAILABLE: u8 = 69;
}

/// aka: is this distinct_id an alias, and if so, of whom?
#[derive(Parser)]
#[command(name = "aka", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the service
    Serve(Box<serve::ServeArgs>),
    /// Create or upgrade the tables of the shards that are named
    Migrate(migrate::MigrateArgs),
    /// Read every shard and report what breaks an invariant
    Check(check::CheckArgs),
    Resolve(resolve::ResolveArgs),
    #[command(subcommand)]
    Alias(alias::AliasCommand),
    Health(health::HealthArgs),
    Completions(completions::CompletionsArgs),
}

/// Reads the command line and does what it says.
pub async fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    match cli.command {
        Command::Serve(args) => serve::run(*args).await,
        Command::Migrate(args) => migrate::run(args).await,
        Command::Check(args) => check::run(args).await,
        Command::Resolve(args) => resolve::run(args).await,
        Command::Alias(command) => alias::run(command).await,
        Command::Health(args) => health::run(args).await,
        Command::Completions(args) => completions::run(&args, Cli::command()),
    }
}

/// Prints what clap has to say. A value that cannot be read is bad configuration where it
/// configures a server, wrong usage elsewhere.
fn usage(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind::{InvalidValue, ValueValidation};
    // Nothing can be done where even stderr is closed.
    let _ = error.print();
    let configures = std::env::args()
        .nth(1)
        .is_some_and(|command| ["serve", "migrate", "check"].contains(&command.as_str()));
    match error.kind() {
        _ if !error.use_stderr() => ExitCode::SUCCESS,
        InvalidValue | ValueValidation if configures => ExitCode::from(exit::CONFIG),
        _ => ExitCode::from(exit::USAGE),
    }
}

/// Says in one sentence why the command failed.
fn fail(code: u8, error: impl std::fmt::Display) -> ExitCode {
    eprintln!("aka: {error}");
    ExitCode::from(code)
}
