//! The program `aka` itself.

use crate::process::spawn;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

/// The path of the program that is tested.
pub fn aka_program() -> &'static Path {
    static PROGRAM: OnceLock<std::path::PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let path = std::env::var_os("CARGO_BIN_EXE_aka");
        path.expect("`cargo test` and `cargo bench` set CARGO_BIN_EXE_aka: the path of aka").into()
    })
}

/// Runs an `aka` command to its end.
pub async fn run_aka(command: &str, flags: &[String]) -> Output {
    let mut command = patient_aka(command);
    command.args(flags).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let run = || spawn(command).and_then(Child::wait_with_output);
    tokio::task::spawn_blocking(run).await.expect("a thread").expect("aka can be started")
}

/// An `aka` command. The settings in the environment of the tests do not reach it.
pub(crate) fn plain_aka(command: &str) -> Command {
    let mut aka = Command::new(aka_program());
    aka.env_clear().arg(command);
    aka
}

/// An `aka` command with long timeouts, because a busy machine is not a fault of `aka`. Tests of
/// timeouts set flags, which win over the environment.
pub(crate) fn patient_aka(command: &str) -> Command {
    let mut aka = plain_aka(command);
    aka.env("AKA_QUERY_TIMEOUT_MS", "20000").env("AKA_CONNECT_TIMEOUT_MS", "20000");
    aka.env("AKA_REQUEST_TIMEOUT_MS", "30000");
    // Threads are late on a busy machine, and a debug build takes long turns.
    aka.env("AKA_OVERLOAD_LAG_MS", "60000");
    aka
}
