//! `aka man`: the manual pages of all commands.

use super::fault::CliFault;
use clap::{Args, Command};
use std::path::PathBuf;

/// Write the manual pages of all commands into a folder.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  aka man /usr/local/share/man/man1
  aka man . && man ./aka-serve.1

There is a page for each command: aka.1, aka-serve.1, aka-alias-create.1 and so on. Pages that are \
there are replaced.")]
pub struct ManArgs {
    /// The folder; it must exist
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

/// Runs `aka man` for the whole command line, which only `main` knows.
pub fn run(args: &ManArgs, command: Command) -> Result<(), CliFault> {
    // A page about asking for help would help nobody.
    let command = command.disable_help_subcommand(true);
    clap_mangen::generate_to(command, &args.folder)
        .map_err(|source| CliFault::Io { what: "cannot write the manual pages", source })
}
