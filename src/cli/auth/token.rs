//! `aka auth token`: makes a token.

use crate::auth::{BearerToken, PrincipalRole, ProjectSet};
use crate::cli::fault::CliFault;
use crate::cli::print::to_stdout;
use clap::Args;

/// Make a token, and the stanza for the file of principals.
///
/// The token is printed once, on the first line. It is kept nowhere: the stanza holds its SHA-256.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  aka auth token ingest --projects 1,7
  aka auth token ops --role admin --projects '*'

Give the first line to the caller, as a file for --token-file. Put the stanza into the file of \
--auth-file. To change a token, put the hash of the new one beside the old one, give out the new \
one, then take the old hash out.

Exit codes: 0 done, 2 wrong usage, 74 stdout failed.")]
pub struct NewTokenArgs {
    /// The name of the principal
    #[arg(value_name = "NAME", value_parser = name)]
    pub name: String,

    /// What it may do
    #[arg(long, value_enum, value_name = "ROLE", default_value_t = PrincipalRole::Reader)]
    pub role: PrincipalRole,

    /// The projects that it may ask for, with commas; * for all
    #[arg(long, value_name = "N,…", default_value = "*", value_parser = projects)]
    pub projects: ProjectSet,
}

fn name(text: &str) -> Result<String, String> {
    match !text.is_empty() && text.len() <= 128 && !text.contains(char::is_control) {
        true => Ok(text.to_owned()),
        false => Err("a name has 1 to 128 printable characters".to_owned()),
    }
}

fn projects(text: &str) -> Result<ProjectSet, String> {
    if text == "*" {
        return Ok(ProjectSet::All);
    }
    let number = |text: &str| text.trim().parse().ok().filter(|&n: &u64| n > 0 && n >> 63 == 0);
    let numbers: Option<Vec<u64>> = text.split(',').map(number).collect();
    let mut numbers = numbers.ok_or("projects are numbers above 0 with commas, or *")?;
    numbers.sort_unstable();
    numbers.dedup();
    Ok(ProjectSet::Some(numbers.into()))
}

/// Runs `aka auth token`.
pub(super) fn run(args: &NewTokenArgs) -> Result<(), CliFault> {
    let token = BearerToken::random().map_err(|error| {
        CliFault::Unavailable(format!("this system gives no random numbers: {error}"))
    })?;
    let NewTokenArgs { name, role, projects } = args;
    let name = toml::Value::from(name.as_str());
    let projects = match projects {
        ProjectSet::All => "\"*\"".to_owned(),
        some => format!("[{some}]"),
    };
    let (text, hash) = (token.reveal(), token.hash());
    let printed = format!(
        "{text}\n\n[[principal]]\nname = {name}\nrole = \"{role}\"\nprojects = {projects}\n\
         token_sha256 = [\"{hash}\"]\n"
    );
    to_stdout(printed.as_bytes())
}
