//! Who may do what: roles, projects, tokens that change while calls go on, and the audit trail.

mod audit_trail;
mod certificates;
mod change_log;
mod commands;
pub mod people;
mod projects;
mod roles;
mod rotation;
mod startup;
mod streams;

use aka_test_support::{Aka, Database, backend};
use people::PrincipalFile;

/// The files are looked at often.
const OFTEN: (&str, &str) = ("AKA_FILES_LOOK_MS", "10");
/// The files are not looked at within a test, but for a signal.
const NEVER: (&str, &str) = ("AKA_FILES_LOOK_MS", "86400000");

/// Starts a server on SQLite with these principals, and more flags.
async fn start(
    file: &PrincipalFile,
    flags: &[&str],
    environment: &[(&str, &str)],
) -> (Database, Aka) {
    let database = Database::create(backend::sqlite()).await;
    let path = file.path();
    let flags = [&["--auth-file", &path][..], flags].concat();
    let aka = Aka::serve_with_env(&database, &flags, environment).await;
    (database, aka)
}
