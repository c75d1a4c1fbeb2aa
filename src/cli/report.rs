//! Shows how a command ended: a sentence or an object of JSON on stderr, and the exit code.

use super::fault::CliFault;
use super::output::OutputFormat;
use super::print::to_stderr;
use super::server_error::ServerError;
use serde::Serialize;
use std::process::ExitCode;

#[derive(Serialize)]
struct ErrorLine<'a> {
    error: &'a ServerError,
}

/// Shows the fault, if there is one, and turns the result into the exit code.
pub(super) fn finish(output: OutputFormat, result: Result<(), CliFault>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            show(&fault, output);
            fault.exit().into()
        }
    }
}

/// Says on stderr what is wrong. Faults of the commands that need no server are plain sentences.
pub(super) fn show(fault: &CliFault, output: OutputFormat) {
    let Some(error) = fault.shown() else { return };
    let text = || match fault {
        CliFault::Config(_) | CliFault::Unavailable(_) | CliFault::Runtime(_) => {
            error.message.clone()
        }
        _ => error.to_string(),
    };
    match output {
        OutputFormat::Text => to_stderr(&format!("aka: {}", text())),
        OutputFormat::Json => {
            let line = serde_json::to_string(&ErrorLine { error: &error });
            to_stderr(&line.unwrap_or_else(|_| text()));
        }
    }
}
