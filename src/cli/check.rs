//! `aka check`: reads all shards and reports what breaks an invariant.

use super::{exit, fail, open};
use crate::check::{Findings, Problem, check};
use crate::config::DatabaseFlags;
use crate::store::StoreError;
use std::process::ExitCode;

/// Flags of `aka check`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  aka check
  aka check --shard mysql://aka@db0/aka --shard mysql://aka@db1/aka --repair

It reads every row, may run beside a live service, and exits 1 if it finds a problem that it did not
mend. --repair removes old orphaned inverse rows and restores missing ones; nothing else.")]
pub struct CheckArgs {
    #[command(flatten)]
    flags: DatabaseFlags,

    /// Mend what can be mended safely
    #[arg(long)]
    repair: bool,

    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

impl CheckArgs {
    pub(super) fn database(&mut self) -> &mut DatabaseFlags {
        &mut self.flags
    }
}

pub async fn run(args: CheckArgs) -> ExitCode {
    let stores = match open(args.flags) {
        Ok(stores) => stores,
        Err(code) => return code,
    };
    match check(&stores, args.repair).await {
        Ok(report) => {
            if args.json {
                print_json(&report);
            } else {
                print_text(&report);
            }
            match report.problems.len() == report.repaired {
                true => ExitCode::SUCCESS,
                false => ExitCode::from(exit::REFUSED),
            }
        }
        Err(error @ StoreError::WrongShard(_)) => fail(exit::CONFIG, error),
        Err(error) => fail(exit::UNAVAILABLE, error),
    }
}

fn print_text(report: &Findings) {
    for problem in &report.problems {
        println!("{problem}");
    }
    let Findings { aliases, inverse_rows, log_lines, young_orphans, problems, repaired } = report;
    println!("{aliases} aliases, {inverse_rows} inverse rows, {log_lines} log lines read");
    if *young_orphans > 0 {
        println!(
            "{young_orphans} inverse rows of writes that are under way or died in the last hour: harmless, the sweeper removes what stays"
        );
    }
    match problems.len() {
        0 => println!("no problems"),
        count => println!("{count} problems, {repaired} repaired"),
    }
}

fn print_json(report: &Findings) {
    let problem = |problem: &Problem| serde_json::json!({ "kind": problem.kind(), "text": problem.to_string() });
    let report = serde_json::json!({
        "aliases": report.aliases,
        "inverse_rows": report.inverse_rows,
        "log_lines": report.log_lines,
        "young_orphans": report.young_orphans,
        "problems": report.problems.iter().map(problem).collect::<Vec<_>>(),
        "repaired": report.repaired,
    });
    println!("{report}");
}
