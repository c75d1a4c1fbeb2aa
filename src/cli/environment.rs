//! Environment variables that are set but empty count as not set.

use clap::Command;
use std::env;

/// The command without the variables that are set but empty. A Compose file or a unit file cannot
/// unset a variable, so it sets an empty one and means "not set". Clap would read it as an empty
/// value.
pub(super) fn without_empty_variables(command: Command) -> Command {
    let command = command.mut_args(|arg| {
        let Some(name) = arg.get_env().map(ToOwned::to_owned) else { return arg };
        if env::var_os(&name).is_none_or(|value| !value.is_empty()) {
            return arg;
        }
        // `--help` still names the variable.
        let help = format!("{} [env: {}=]", arg.get_help().cloned().unwrap_or_default(), {
            name.display()
        });
        arg.env(None).help(help)
    });
    command.mut_subcommands(without_empty_variables)
}
