//! `aka auth check`: tells whether a file of principals can be used.

use crate::auth::{Principal, read_principals};
use crate::cli::fault::CliFault;
use crate::cli::print::to_stdout;
use clap::Args;
use std::path::PathBuf;

/// Check a file of principals, as `aka serve` would read it, and show who is in it.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  aka auth check /etc/aka/auth.toml

Exit codes: 0 the file is good, 64 it cannot be used, 74 stdout failed.")]
pub struct CheckFileArgs {
    /// The file
    #[arg(value_name = "FILE.toml")]
    pub file: PathBuf,
}

/// Runs `aka auth check`.
pub(super) fn run(args: &CheckFileArgs) -> Result<(), CliFault> {
    let principals = read_principals(&args.file);
    let principals = principals.map_err(|fault| CliFault::Config(fault.to_string()))?;
    let line = |(principal, tokens, uris): (&Principal, usize, usize)| {
        let Principal { name, role, projects, .. } = principal;
        let over = if principal.is_expired() { ", its time is over" } else { "" };
        format!("{name}: {role}, projects {projects}, {tokens} tokens, {uris} URIs{over}\n")
    };
    let lines: String = principals.list().map(line).collect();
    to_stdout(lines.as_bytes())
}
