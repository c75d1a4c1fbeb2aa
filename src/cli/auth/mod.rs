//! `aka auth`: makes tokens, and checks files of principals. It calls no server.

mod check;
mod token;

use super::fault::CliFault;
use check::CheckFileArgs;
use clap::Subcommand;
use token::NewTokenArgs;

/// Make tokens, and check a file of principals.
#[derive(Subcommand, Clone, Debug)]
pub enum AuthCommand {
    Token(NewTokenArgs),
    Check(CheckFileArgs),
}

/// Runs `aka auth …`.
pub fn run(command: &AuthCommand) -> Result<(), CliFault> {
    match command {
        AuthCommand::Token(args) => token::run(args),
        AuthCommand::Check(args) => check::run(args),
    }
}
