//! `aka doctor`: checks all that an instance needs before it starts, and says what to do.
//!
//! Each check gives a [`Diagnosis`]. `machine` looks at what this machine has, `shards` asks the
//! databases, and `server` judges what one of them says. Nothing is changed, and nothing is made.

mod diagnosis;
mod machine;
mod server;
mod shards;

use super::fault::CliFault;
use super::output::OutputFormat;
use super::print::{push_json, report_to_stdout};
use super::text::printable;
use crate::config::{Config, Database, ServeFlags};
use clap::Args;
use diagnosis::{Diagnosis, Grade};

/// Flags of `aka doctor`.
#[derive(Args)]
#[command(after_help = "\
Examples:
  aka doctor
  aka doctor --config /etc/aka.toml
  aka doctor --shard mysql://aka@db0a,db0b/aka --shard mysql://aka@db1/aka
  aka doctor --format json | jq '.checks[] | select(.grade != \"ok\")'

It takes the settings of aka serve, from the same flags, environment and file: run it as the user \
that runs aka serve. It prints a line for each check: ok, warn or problem, what it looked at, what \
it found, and what to do. It changes nothing, and may run beside a live service.

Exit codes: 0 no problem (there may be warnings), 1 at least one problem, 2 wrong usage, 64 a flag \
or a variable has a value that cannot be read.")]
pub struct DoctorArgs {
    #[command(flatten)]
    flags: ServeFlags,

    /// A line for each check, or one JSON object
    #[arg(long, visible_alias = "output", value_enum, value_name = "FORMAT", default_value_t)]
    pub format: OutputFormat,
}

pub async fn run(args: DoctorArgs) -> Result<(), CliFault> {
    let checks = examine(args.flags).await;
    let mut out = Vec::new();
    match args.format {
        OutputFormat::Text => out.extend(text(&checks).into_bytes()),
        OutputFormat::Json => push_json(
            &mut out,
            &serde_json::json!({
                "checks": checks,
                "problems": count(&checks, Grade::Problem),
                "warnings": count(&checks, Grade::Warn),
            }),
        )?,
    }
    report_to_stdout(&out)?;
    match count(&checks, Grade::Problem) {
        0 => Ok(()),
        _ => Err(CliFault::Problems),
    }
}

/// All checks, in an order in which the cause of a problem stands before its effects.
async fn examine(flags: ServeFlags) -> Vec<Diagnosis> {
    const WHAT: &str = "configuration";
    let mut checks = Vec::new();
    let databases = flags.database();
    let database = match Config::load(flags) {
        Ok(config) => {
            checks.push(Diagnosis::ok(WHAT, "every setting can be used"));
            checks.extend(machine::of_service(&config));
            Some(config.database)
        }
        Err(fault) => {
            let advice = "correct the setting; docs/configuration.md has all of them";
            checks.push(Diagnosis::problem(WHAT, fault.to_string(), advice));
            // The databases may be named rightly all the same.
            Database::load(databases).ok()
        }
    };
    match &database {
        Some(Database::Sqlite(path)) => {
            checks.extend(machine::sqlite_folder(path));
            checks.extend(shards::sqlite(path).await);
        }
        Some(Database::MySql { shards, password, connect_timeout }) => {
            checks.extend(password.as_ref().and_then(machine::password_file));
            checks.extend(shards::mysql(shards, password.as_ref(), *connect_timeout).await);
        }
        None => checks.push(Diagnosis::problem(
            "databases",
            "none can be asked, because the settings that name them cannot be used",
            "correct the configuration, and run this again",
        )),
    }
    checks
}

fn count(checks: &[Diagnosis], grade: Grade) -> usize {
    checks.iter().filter(|check| check.grade == grade).count()
}

fn text(checks: &[Diagnosis]) -> String {
    // Texts of a database must not control the terminal.
    let line = |check: &Diagnosis| printable(check.line().trim_end()) + "\n";
    let lines: String = checks.iter().map(line).collect();
    let (problems, warnings) = (count(checks, Grade::Problem), count(checks, Grade::Warn));
    format!("{lines}{} checks, {problems} problems, {warnings} warnings\n", checks.len())
}
