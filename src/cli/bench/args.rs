//! The flags of `aka bench`, and what they mean together.

use crate::cli::client::{ClientArgs, ProjectArgs};
use crate::cli::fault::CliFault;
use crate::cli::output::OutputArgs;
use aka_load::{IdSet, LoadPlan};
use aka_wire::MAX_BATCH;
use clap::{Args, ValueEnum};
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  aka bench --project 9 --prepare
  aka bench --project 9 --mode batch --batch 100 --rate 200000 --duration 30
  aka bench --project 9 --mode stream --zipf 1.1 --aliases 0.1 --cold 0.01 --writes 200
  aka bench --project 9 --connections 8 --concurrency 50 --output json
  aka bench --project 9 --rate 50000 --wait 60 --warm-up 0 --window 5 --duration 90

Id 26 is bench-000000000000001a. If it is an alias, its canonical id is
user-000000000000001a. Which ids are aliases follows from --aliases alone, so every answer can be
checked. Run once with --prepare, which creates the aliases and reads every id once. Then run as
often as you like with the same --keys and --aliases. Use a project of its own.

The last example measures a cold start: it waits for a server that is about to start, asks from its
first second on, and reports each five seconds.

With --rate, calls are made when they are due, whether or not the calls before them are answered,
and latencies count from then. Without it, each caller makes its next call when its last one is
answered.

Exit codes: 0 ok, 1 an answer was wrong or an error, 2 wrong usage, 69 server unreachable, 74 stdout
failed.";

/// Put load on a running server, check every answer, and report latencies and CPU time.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct BenchArgs {
    /// How ids are asked for
    #[arg(long, value_enum, value_name = "MODE", default_value_t)]
    pub mode: Mode,

    /// Ids of a batch [default: 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=MAX_BATCH as i64))]
    pub batch: Option<u32>,

    /// Ids a second, all callers together (open loop); without it, as many as are answered
    #[arg(long, value_name = "R", value_parser = positive)]
    pub rate: Option<f64>,

    #[arg(long, value_name = "N", default_value_t = 4, help = "Connections to the server")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub connections: u16,

    /// Calls at once, or open streams, on each connection; in an open loop, at most so many
    #[arg(long, value_name = "N", default_value_t = 32)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub concurrency: u16,

    /// Threads that share the connections
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=64))]
    pub threads: u16,

    /// Ids that are asked for
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub keys: u32,

    /// Skew: id k is asked for in proportion to 1 / k^S; 0: all alike
    #[arg(long, value_name = "S", default_value_t = 0.0, value_parser = skew)]
    pub zipf: f64,

    /// Share of these ids that are aliases
    #[arg(long, value_name = "RATIO", default_value_t = 0.5, value_parser = ratio)]
    pub aliases: f64,

    /// Share of the lookups that ask for ids never seen before
    #[arg(long, value_name = "RATIO", default_value_t = 0.0, value_parser = ratio)]
    pub cold: f64,

    /// Aliases created a second, besides the lookups
    #[arg(long, value_name = "R", value_parser = positive)]
    pub writes: Option<f64>,

    /// How long to measure, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub duration: Duration,

    /// How long to run before that without measuring, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    pub warm_up: Duration,

    /// Report the measured time in windows of this length too, in seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub window: Option<Duration>,

    /// How long to wait for a server that does not listen yet, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds)]
    pub wait: Duration,

    /// First create the aliases that the run expects, and read every id once
    #[arg(long)]
    pub prepare: bool,

    /// Do not check what ids resolve to, as for a bare echo server
    #[arg(long, conflicts_with_all = ["prepare", "writes"])]
    pub no_check: bool,

    /// The same seed asks for the same ids
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// Process whose CPU time is read; found by itself if the server listens on a loopback address
    ///
    /// Repeat it to add that of another one.
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pub server_pid: Vec<u32>,

    /// Process of a database on this machine, whose CPU time is read too; repeated
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pub database_pid: Vec<u32>,

    #[command(flatten)]
    pub project: ProjectArgs,

    #[command(flatten)]
    pub output: OutputArgs,

    #[command(flatten)]
    pub client: ClientArgs,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Resolve: a call for each id
    #[default]
    Unary,
    /// BatchResolve
    Batch,
    /// StreamResolve: batches on streams that stay open
    Stream,
}

impl Mode {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Unary => "unary",
            Self::Batch => "batch",
            Self::Stream => "stream",
        }
    }
}

impl BenchArgs {
    /// What the flags mean together.
    ///
    /// # Errors
    /// If they contradict each other in a way that clap does not find.
    pub(super) fn plan(&self) -> Result<LoadPlan, CliFault> {
        let wrong = |message: &str| Err(CliFault::Usage(message.to_owned()));
        if self.mode == Mode::Unary && self.batch.is_some_and(|batch| batch > 1) {
            return wrong("--batch needs --mode batch or --mode stream");
        }
        if self.threads > self.connections {
            return wrong("--threads may not be more than --connections, which they share");
        }
        if self.duration.is_zero() {
            return wrong("--duration may not be 0");
        }
        Ok(LoadPlan {
            project_id: self.project.project,
            mode: self.load_mode(),
            rate: self.rate,
            connections: self.connections,
            concurrency: self.concurrency,
            threads: self.threads,
            ids: IdSet::new(self.keys, self.aliases),
            zipf: self.zipf,
            cold: self.cold,
            writes: self.writes,
            duration: self.duration,
            warm_up: self.warm_up,
            window: self.window,
            check: !self.no_check,
            seed: self.seed,
        })
    }

    fn load_mode(&self) -> aka_load::Mode {
        let ids = self.batch.unwrap_or(100);
        match self.mode {
            Mode::Unary => aka_load::Mode::Unary,
            Mode::Batch => aka_load::Mode::Batch(ids),
            Mode::Stream => aka_load::Mode::Stream(ids),
        }
    }

    /// How many ids a call asks for.
    pub(super) fn ids_per_call(&self) -> u32 {
        self.load_mode().ids_per_call()
    }
}

fn number(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if number.is_finite() { Ok(number) } else { Err("not a number".to_owned()) }
}

fn within(text: &str, least: f64, most: f64) -> Result<f64, String> {
    let number = number(text)?;
    if (least..=most).contains(&number) {
        Ok(number)
    } else {
        Err(format!("it must be {least} to {most}"))
    }
}

fn ratio(text: &str) -> Result<f64, String> {
    within(text, 0.0, 1.0)
}

fn skew(text: &str) -> Result<f64, String> {
    within(text, 0.0, 10.0)
}

fn positive(text: &str) -> Result<f64, String> {
    within(text, 0.1, 100_000_000.0)
}

fn seconds(text: &str) -> Result<Duration, String> {
    within(text, 0.0, 86_400.0).map(Duration::from_secs_f64)
}
