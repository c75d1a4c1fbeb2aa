//! The command line.

mod alias;
mod auth;
mod bench;
mod check;
mod client;
mod completions;
mod compressed;
mod doctor;
mod environment;
mod exit;
mod export;
mod fault;
mod format;
mod health;
mod import;
mod json_id;
mod lines;
mod man;
mod migrate;
mod operations;
mod output;
mod print;
mod progress;
mod records;
mod report;
mod resolve;
mod serve;
mod server_error;
mod server_url;
mod signals;
mod spool;
mod status;
mod stores;
mod text;
mod token;
mod transport;

use crate::server::{PassedSockets, SocketFault};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use environment::without_empty_variables;
use exit::Exit;
use fault::CliFault;
use output::OutputFormat;
use report::finish;
use std::process::ExitCode;
use std::time::Duration;

/// aka: is this distinct_id an alias, and if so, of whom?
#[derive(Parser)]
#[command(name = "aka", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

impl Cli {
    /// The command line over the environment.
    fn read() -> Result<Self, clap::Error> {
        let mut command = without_empty_variables(Self::command());
        let mut matches = command.try_get_matches_from_mut(std::env::args_os())?;
        Self::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
    }
}

#[derive(Subcommand)]
enum Command {
    /// Run the service
    Serve(Box<serve::ServeArgs>),
    /// Create or upgrade the tables of the shards that are named
    Migrate(migrate::MigrateArgs),
    /// Read every shard and report what breaks an invariant
    Check(check::CheckArgs),
    /// Check configuration, databases, folders and certificates, and say what to do
    Doctor(Box<doctor::DoctorArgs>),
    /// Write all aliases to stdout, from the shards themselves
    Export(export::ExportArgs),
    Import(import::ImportArgs),
    Resolve(resolve::ResolveArgs),
    #[command(subcommand)]
    Alias(alias::AliasCommand),
    #[command(subcommand)]
    Auth(auth::AuthCommand),
    Health(health::HealthArgs),
    Status(status::StatusArgs),
    Bench(Box<bench::BenchArgs>),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

/// How long the end of the program waits for calls that block, such as of a file on a network that
/// has gone.
const LAST_CALLS: Duration = Duration::from_secs(1);

/// The whole program. It is not `async`, so that the futures of all commands are compiled here, and
/// not once more in the binary that calls it.
pub fn main() -> ExitCode {
    // While there is one thread.
    let passed = PassedSockets::from_environment();
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(run(passed));
            runtime.shutdown_timeout(LAST_CALLS);
            code
        }
        Err(error) => finish(OutputFormat::Text, Err(CliFault::Runtime(error))),
    }
}

/// Reads the command line and does what it says.
async fn run(passed: Result<PassedSockets, SocketFault>) -> ExitCode {
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(error) => return usage(&error).into(),
    };
    let output = cli.command.output();
    let result = match cli.command {
        Command::Serve(args) => serve::run(*args, passed).await,
        Command::Migrate(args) => migrate::run(args).await,
        Command::Check(args) => check::run(args).await,
        Command::Doctor(args) => doctor::run(*args).await,
        Command::Export(args) => export::run(args).await,
        Command::Import(args) => import::run(args).await,
        Command::Resolve(args) => resolve::run(args).await,
        Command::Alias(command) => alias::run(command).await,
        Command::Auth(command) => auth::run(&command),
        Command::Health(args) => health::run(args).await,
        Command::Status(args) => status::run(args).await,
        Command::Bench(args) => bench::run(*args).await,
        Command::Completions(args) => completions::run(&args, Cli::command()),
        Command::Man(args) => man::run(&args, Cli::command()),
    };
    finish(output, result)
}

impl Command {
    /// In which form the command says what went wrong.
    fn output(&self) -> OutputFormat {
        match self {
            Self::Import(args) => args.output.output,
            Self::Resolve(args) => args.output.output,
            Self::Alias(command) => command.shared().output.output,
            Self::Status(args) => args.output.output,
            Self::Bench(args) => args.output.output,
            Self::Doctor(args) => args.format,
            _ => OutputFormat::Text,
        }
    }
}

/// Prints what clap has to say. A value that cannot be read is bad configuration if it configures a
/// server or names databases, and wrong usage elsewhere.
fn usage(error: &clap::Error) -> Exit {
    use clap::error::ErrorKind::{InvalidValue, ValueValidation};
    // Nothing can be done if even stderr is closed.
    let _ = error.print();
    let configures = std::env::args().nth(1).is_some_and(|command| {
        ["serve", "migrate", "check", "doctor", "export"].contains(&command.as_str())
    });
    match error.kind() {
        _ if !error.use_stderr() => Exit::Done,
        InvalidValue | ValueValidation if configures => Exit::Config,
        _ => Exit::Usage,
    }
}
