//! Why a command did not do all that it was asked to, and the exit code that says so.

use super::print::{Quoted, printable, to_stderr};
use super::{client::OutputFormat, print::JsonId};
use aka_wire::code_name;
use aka_wire::pb::Failure;
use serde::Serialize;
use std::{collections::BTreeMap, error::Error, fmt, io, iter, process::ExitCode};
use tonic::{Code, Status, TimeoutExpired};
use tonic_types::StatusExt;

/// What ended a command before it was done.
#[derive(Debug)]
pub enum CliFault {
    /// The command line, or a line of stdin, makes no sense. Clap finds most of these itself.
    Usage(String),
    /// The server cannot be reached, or the connection broke.
    Unreachable { server: String, message: String },
    /// The server said no.
    Refused(Box<Refusal>),
    /// The command ran to its end, but some items failed; each was reported where it happened.
    Partly { failed: u64, total: u64 },
    /// Stdin or stdout failed.
    Io { what: &'static str, source: io::Error },
    /// Nobody reads our stdout any more, as with `aka … | head`: no fault of anyone's.
    Closed,
}

/// An error that the server answered, for a whole call or for one item of a batch.
#[derive(Clone, Debug, Serialize)]
pub struct Refusal {
    /// The name of the gRPC code, e.g. `ALREADY_EXISTS`.
    pub code: &'static str,
    /// For programs, e.g. `ALIAS_TAKEN`; the code's name where the server gave no reason.
    pub reason: String,
    /// For people.
    pub message: String,
    pub metadata: BTreeMap<String, String>,
    /// The id that was refused.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub item: Option<JsonId>,
}

#[derive(Serialize)]
struct ErrorLine<'a> {
    error: &'a Refusal,
}

impl CliFault {
    /// An answer that breaks the contract: better no answer than a wrong one.
    pub fn malformed(what: &str) -> Self {
        Refusal::new(Code::Internal, "MALFORMED_ANSWER", what).into()
    }

    /// Tells what a failed call means; `server` names the server that was called.
    pub fn from_status(status: &Status, server: &str, timeout_ms: u64) -> Self {
        if let Some(refusal) = Refusal::from_status(status) {
            return refusal.into();
        }
        // No ErrorInfo: the status was made by a proxy, by another server, or here.
        if causes(status).any(|cause| cause.is::<TimeoutExpired>()) {
            let message = format!("no answer within {timeout_ms} ms");
            return Refusal::new(Code::DeadlineExceeded, "", &message).into();
        }
        // Only a status that was made on this side of the wire has a source.
        if status.code() == Code::Unavailable || status.source().is_some() {
            let message = status.source().map_or_else(|| status.message().to_owned(), root_cause);
            return Self::Unreachable { server: server.to_owned(), message };
        }
        let message = match status.message() {
            "" => "the server says no more; is it an aka server?",
            message => message,
        };
        Refusal::new(status.code(), "", message).into()
    }

    /// The same, with the id that was refused: the server's sentences speak of "alias_id".
    pub(super) fn about(mut self, id: &[u8]) -> Self {
        if let Self::Refused(refusal) = &mut self {
            refusal.item = Some(JsonId::item(id));
        }
        self
    }

    /// The exit code, as the design fixes it; 74 is EX_IOERR.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Closed => 0,
            Self::Refused(_) | Self::Partly { .. } => 1,
            Self::Usage(_) => 2,
            Self::Unreachable { .. } => 69,
            Self::Io { .. } => 74,
        }
    }

    /// Says on stderr what is wrong: a sentence, or one JSON object.
    pub fn report(&self, output: OutputFormat) {
        if let Self::Closed = self {
            return;
        }
        let refusal = self.as_refusal();
        match output {
            OutputFormat::Text => to_stderr(&format!("aka: {refusal}")),
            OutputFormat::Json => {
                let line = serde_json::to_string(&ErrorLine { error: &refusal });
                to_stderr(&line.unwrap_or_else(|_| refusal.to_string()));
            }
        }
    }

    /// Every fault in the one shape that is shown.
    fn as_refusal(&self) -> Refusal {
        match self {
            Self::Usage(message) => Refusal::new(Code::InvalidArgument, "USAGE", message),
            Self::Unreachable { server, message } => {
                let message = format!("cannot reach {server}: {message}");
                Refusal::new(Code::Unavailable, "UNREACHABLE", &message)
            }
            Self::Refused(refusal) => Refusal::clone(refusal),
            Self::Partly { failed, total } => {
                let message = format!("{failed} of {total} failed");
                Refusal::new(Code::Unknown, "PARTLY_FAILED", &message)
            }
            Self::Io { what, source } => {
                Refusal::new(Code::Unknown, "IO_ERROR", &format!("{what}: {source}"))
            }
            Self::Closed => Refusal::new(Code::Cancelled, "", "stdout is closed"),
        }
    }
}

impl From<Refusal> for CliFault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

/// Reports a fault, if there is one, and turns the result into the exit code.
pub fn finish(output: OutputFormat, result: Result<(), CliFault>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            fault.report(output);
            ExitCode::from(fault.exit_code())
        }
    }
}

impl Refusal {
    pub(super) fn new(code: Code, reason: &str, message: &str) -> Self {
        let code = code_name(code);
        let reason = if reason.is_empty() { code } else { reason };
        Self {
            code,
            reason: reason.to_owned(),
            message: message.to_owned(),
            metadata: BTreeMap::new(),
            item: None,
        }
    }

    /// Nothing, where the status bears no ErrorInfo of aka's.
    fn from_status(status: &Status) -> Option<Self> {
        let info = status.get_details_error_info().filter(|info| info.domain == "aka")?;
        let refusal = Self::new(status.code(), &info.reason, status.message());
        Some(Self { metadata: info.metadata.into_iter().collect(), ..refusal })
    }

    /// The same, of one item of a batch.
    pub(super) fn from_failure(failure: Failure, item: &[u8]) -> Self {
        let refusal = Self::new(Code::from(failure.code), &failure.reason, &failure.message);
        let metadata = failure.metadata.into_iter().collect();
        Self { metadata, item: Some(JsonId::item(item)), ..refusal }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", printable(&self.reason))?;
        if let Some(item) = &self.item {
            write!(f, "{}: ", Quoted(&item.bytes))?;
        }
        f.write_str(&printable(&self.message))
    }
}

fn causes(status: &Status) -> impl Iterator<Item = &(dyn Error + 'static)> {
    iter::successors(status.source(), |&cause| cause.source())
}

/// The innermost cause: "Connection refused" says more than "transport error".
pub(super) fn root_cause(fault: &(dyn Error + 'static)) -> String {
    let causes = iter::successors(Some(fault), |&cause| cause.source());
    causes.last().unwrap_or(fault).to_string()
}
