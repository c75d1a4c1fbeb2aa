//! Writes to stdout, which may be closed at any time, and to stderr.

use super::fault::CliFault;
use serde::Serialize;
use std::io::{self, ErrorKind, Write};

/// Writes to stdout and flushes, so that an answer is seen at once, also through a pipe.
pub(super) fn to_stdout(bytes: &[u8]) -> Result<(), CliFault> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|source| match source.kind() {
        ErrorKind::BrokenPipe => CliFault::Closed,
        _ => CliFault::Io { what: "cannot write to stdout", source },
    })
}

/// Writes the report of a command whose exit code says what it found. That nobody reads the report
/// does not make the finding a good one.
pub(super) fn report_to_stdout(bytes: &[u8]) -> Result<(), CliFault> {
    match to_stdout(bytes) {
        Err(CliFault::Closed) => Ok(()),
        written => written,
    }
}

/// Writes a line to stderr. If that fails, the failure cannot be reported anywhere.
pub(super) fn to_stderr(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Appends `value` as one line of JSON.
pub(super) fn push_json(out: &mut Vec<u8>, value: &impl Serialize) -> Result<(), CliFault> {
    serde_json::to_writer(&mut *out, value)
        .map_err(|fault| CliFault::Io { what: "cannot encode", source: fault.into() })?;
    out.push(b'\n');
    Ok(())
}
