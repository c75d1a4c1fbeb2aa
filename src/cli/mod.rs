//! The command line.

mod alias;
mod bench;
mod check;
mod client;
mod completions;
mod export;
mod fault;
mod health;
mod import;
mod lines;
mod migrate;
mod operations;
mod print;
mod progress;
mod resolve;
mod rows;
mod serve;
mod status;

use crate::config::{Database, DatabaseFlags, Kind};
use crate::store::{SqliteStore, Store};
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
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
    /// Write all aliases to stdout, from the shards themselves
    Export(export::ExportArgs),
    Import(import::ImportArgs),
    Resolve(resolve::ResolveArgs),
    #[command(subcommand)]
    Alias(alias::AliasCommand),
    Health(health::HealthArgs),
    Status(status::StatusArgs),
    Bench(Box<bench::BenchArgs>),
    Completions(completions::CompletionsArgs),
}

/// The whole program. Not `async`: it is here that the futures of all commands are compiled, and not
/// once more in the binary that calls it.
pub fn main() -> ExitCode {
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(run()),
        Err(error) => fail(1, format!("cannot start the runtime: {error}")),
    }
}

/// Reads the command line and does what it says.
async fn run() -> ExitCode {
    let parsed = Cli::command().try_get_matches().and_then(|mut matches| {
        let stronger = stronger_database(&matches);
        Cli::from_arg_matches_mut(&mut matches).map(|cli| (cli, stronger))
    });
    let (mut cli, stronger) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return usage(&error),
    };
    if let (Some(stronger), Some(flags)) = (stronger, cli.command.database()) {
        flags.keep(stronger);
    }
    match cli.command {
        Command::Serve(args) => serve::run(*args).await,
        Command::Migrate(args) => migrate::run(args).await,
        Command::Check(args) => check::run(args).await,
        Command::Export(args) => export::run(args).await,
        Command::Import(args) => import::run(args).await,
        Command::Resolve(args) => resolve::run(args).await,
        Command::Alias(command) => alias::run(command).await,
        Command::Health(args) => health::run(args).await,
        Command::Status(args) => status::run(args).await,
        Command::Bench(args) => bench::run(*args).await,
        Command::Completions(args) => completions::run(&args, Cli::command()),
    }
}

impl Command {
    fn database(&mut self) -> Option<&mut DatabaseFlags> {
        match self {
            Self::Serve(args) => Some(args.database()),
            Self::Migrate(args) => Some(args.database()),
            Self::Check(args) => Some(args.database()),
            Self::Export(args) => Some(args.database()),
            _ => None,
        }
    }
}

/// Which of the two kinds of database a flag names while the environment names the other: flags win.
fn stronger_database(matches: &ArgMatches) -> Option<Kind> {
    let (_, matches) = matches.subcommand()?;
    let source = |id: &str| matches.try_contains_id(id).ok().and_then(|_| matches.value_source(id));
    match (source("sqlite"), source("shards")) {
        (Some(ValueSource::CommandLine), Some(ValueSource::EnvVariable)) => Some(Kind::Sqlite),
        (Some(ValueSource::EnvVariable), Some(ValueSource::CommandLine)) => Some(Kind::Shards),
        _ => None,
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
        .is_some_and(|command| ["serve", "migrate", "check", "export"].contains(&command.as_str()));
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

/// The shards that a command reads past the service; what is wrong with the flags is said.
fn open(flags: DatabaseFlags) -> Result<Vec<Box<dyn Store>>, ExitCode> {
    let database = Database::load(flags).map_err(|fault| fail(exit::CONFIG, fault))?;
    match database {
        // Not through `Database::sqlite`: who only reads makes no folder and no file.
        Database::Sqlite(path) => Ok(vec![Box::new(SqliteStore::new(path))]),
        Database::MySql { shards, password, connect_timeout } => {
            let stores = Database::mysql(&shards, password.as_ref(), connect_timeout)
                .map_err(|error| fail(exit::CONFIG, error))?;
            Ok(stores.into_iter().map(|store| Box::new(store) as Box<dyn Store>).collect())
        }
    }
}
