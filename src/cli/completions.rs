//! `aka completions`: the script with which a shell completes the command line.

use super::fault::CliFault;
use super::print::to_stdout;
use clap::{Args, Command};
use clap_complete::Shell;

/// Print the completion script of a shell.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  aka completions bash > ~/.local/share/bash-completion/completions/aka
  aka completions zsh  > \"${fpath[1]}/_aka\"
  aka completions fish > ~/.config/fish/completions/aka.fish")]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: Shell,
}

/// Runs `aka completions` for the whole command line, which only `main` knows.
pub fn run(args: &CompletionsArgs, mut command: Command) -> Result<(), CliFault> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    // Into memory first: clap_complete panics if stdout is closed.
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    to_stdout(&script)
}
