//! The commands of a client: what they print, for people and for programs, and their exit codes.

use aka_test_support::{Aka, Invocation, PROJECT, aka};

mod aliases;
mod bench;
mod check;
mod completions;
mod doctor;
mod resolve;
mod status;
mod transfer;
mod usage;

/// A command for this server and the tests' project.
fn client<const N: usize>(server: &Aka, args: [&str; N]) -> Invocation {
    let project = PROJECT.to_string();
    aka(args).env("AKA_SERVER", server.grpc.to_string()).env("AKA_PROJECT", project)
}
