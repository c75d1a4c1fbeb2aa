//! Writes to stdout, which may be closed at any time, and to stderr.

use super::fault::CliFault;
use super::text::{for_terminal, is_control};
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;
use std::io::{self, ErrorKind, IsTerminal, Write};

/// Writes to stdout and flushes, so that an answer is seen at once, also through a pipe. What could
/// control a terminal is escaped on one. Elsewhere every byte stays.
pub(super) fn to_stdout(bytes: &[u8]) -> Result<(), CliFault> {
    let mut stdout = io::stdout().lock();
    let shown = stdout.is_terminal().then(|| for_terminal(bytes));
    let bytes = shown.as_deref().map_or(bytes, str::as_bytes);
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

/// Escapes in strings of JSON, besides what must be, what could control a terminal.
struct Harmless;

impl Formatter for Harmless {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(is_control) {
            let (before, after) = rest.split_at(at);
            out.write_all(before.as_bytes())?;
            let mut chars = after.chars();
            // All of them are below 2^16.
            let control = chars.next().map_or(0, u32::from);
            write!(out, "\\u{control:04x}")?;
            rest = chars.as_str();
        }
        out.write_all(rest.as_bytes())
    }
}

/// Appends `value` as one line of JSON.
pub(super) fn push_json(out: &mut Vec<u8>, value: &impl Serialize) -> Result<(), CliFault> {
    value
        .serialize(&mut Serializer::with_formatter(&mut *out, Harmless))
        .map_err(|fault| CliFault::Io { what: "cannot encode", source: fault.into() })?;
    out.push(b'\n');
    Ok(())
}
