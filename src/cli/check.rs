//! `aka check`: reads all shards and reports what breaks an invariant.

use super::fault::CliFault;
use super::print::report_to_stdout;
use super::stores::open;
use crate::check::{Findings, Problem, Repair, check};
use crate::config::DatabaseFlags;

/// Flags of `aka check`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  aka check
  aka check --shard mysql://aka@db0/aka --shard mysql://aka@db1/aka --repair

It reads every row, compares the aliases of the change log with it, and may run beside a live service. It exits with 1 if it finds a problem \
that it did not repair. --repair removes old orphaned inverse rows, and restores missing ones \
where the change log confirms the alias. Rows that contradict each other or the log were changed by \
hand: they are reported and left alone.")]
pub struct CheckArgs {
    #[command(flatten)]
    flags: DatabaseFlags,

    /// Repair what can be repaired safely
    #[arg(long)]
    repair: bool,

    /// With --repair: also restore missing inverse rows of aliases that the change log has no line
    /// about, because their lines were removed. You vouch for these aliases
    #[arg(long, requires = "repair")]
    trust_rows: bool,

    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(args: CheckArgs) -> Result<(), CliFault> {
    let stores = open(args.flags)?;
    let what = match (args.repair, args.trust_rows) {
        (false, _) => Repair::Nothing,
        (true, false) => Repair::Safe,
        (true, true) => Repair::TrustRows,
    };
    let report = check(&stores, what).await?;
    report_to_stdout(if args.json { json(&report) } else { text(&report) }.as_bytes())?;
    match report.problems.len() == report.repaired {
        true => Ok(()),
        false => Err(CliFault::Problems),
    }
}

fn text(report: &Findings) -> String {
    let Findings { aliases, inverse_rows, log_lines, young_orphans, .. } = report;
    let Findings { not_compared, problems, repaired, .. } = report;
    let mut out: String = problems.iter().map(|problem| format!("{problem}\n")).collect();
    out += &format!("{aliases} aliases, {inverse_rows} inverse rows, {log_lines} log lines read\n");
    if *young_orphans > 0 {
        out += &format!(
            "{young_orphans} inverse rows of writes that are under way or died in the last hour: \
             harmless, the sweeper removes what stays\n"
        );
    }
    if *not_compared > 0 {
        out += &format!(
            "{not_compared} aliases were not compared with the change log: too many were created \
             and deleted since it begins\n"
        );
    }
    out + &match problems.len() {
        0 => "no problems\n".to_owned(),
        count => format!("{count} problems, {repaired} repaired\n"),
    }
}

fn json(report: &Findings) -> String {
    let problem = |problem: &Problem| {
        let text = problem.to_string();
        serde_json::json!({ "kind": problem.kind(), "text": text })
    };
    let report = serde_json::json!({
        "aliases": report.aliases,
        "inverse_rows": report.inverse_rows,
        "log_lines": report.log_lines,
        "young_orphans": report.young_orphans,
        "not_compared": report.not_compared,
        "problems": report.problems.iter().map(problem).collect::<Vec<_>>(),
        "repaired": report.repaired,
    });
    format!("{report}\n")
}
