//! Why a command did not do all that it was asked to, and which exit code each cause has.
//!
//! Every command returns `Result<(), CliFault>`; [`super::report`] shows the fault. Errors of the
//! service and of the databases become faults here.

use super::exit::Exit;
use super::json_id::JsonId;
use super::server_error::ServerError;
use crate::config::ConfigFault;
use crate::server::{EntranceFault, ServeFault};
use crate::shard::StartFault;
use crate::store::StoreError;
use std::{error::Error, io, iter};
use tonic::{Code, Status, TimeoutExpired};

/// What ended a command before it was done.
#[derive(Debug)]
pub enum CliFault {
    /// The command line, or a line of stdin, makes no sense. Clap finds most of these itself.
    Usage(String),
    /// A setting is wrong, or it names the wrong databases.
    Config(String),
    /// The server cannot be reached, or the connection broke.
    Unreachable { server: String, message: String },
    /// A database cannot be reached, or the service cannot listen.
    Unavailable(String),
    /// The server refused the request, or failed.
    Refused(Box<ServerError>),
    /// The command ran to its end, but some items failed. Each was reported where it happened.
    Partly { failed: u64, total: u64 },
    /// The command was told to stop.
    Interrupted,
    /// Problems were found. The report that was printed shows them.
    Problems,
    /// The async runtime cannot be started.
    Runtime(io::Error),
    /// Stdin or stdout failed.
    Io { what: &'static str, source: io::Error },
    /// The reader of our stdout has closed it, as in `aka … | head`. That is no error.
    Closed,
}

impl CliFault {
    /// The server's answer breaks the contract, so nothing of it is shown.
    pub fn malformed(what: &str) -> Self {
        ServerError::new(Code::Internal, "MALFORMED_ANSWER", what).into()
    }

    /// What a failed call means; `server` names the server that was called.
    pub fn from_status(status: &Status, server: &str, timeout_ms: u64) -> Self {
        if let Some(mut error) = ServerError::from_status(status) {
            if error.reason == "CREDENTIALS_REQUIRED" {
                error.message.push_str("; here: --token-file, AKA_TOKEN, or --cert and --key");
            }
            return error.into();
        }
        // No ErrorInfo: the status was made by a proxy, by another server, or here.
        if causes(status).any(|cause| cause.is::<TimeoutExpired>()) {
            let message = format!("no answer within {timeout_ms} ms");
            return ServerError::new(Code::DeadlineExceeded, "", &message).into();
        }
        // A status with a source was made here, not by the server.
        if status.code() == Code::Unavailable || status.source().is_some() {
            let message = status.source().map_or_else(|| status.message().to_owned(), root_cause);
            return Self::Unreachable { server: server.to_owned(), message };
        }
        let message = match status.message() {
            "" => "the server says no more; is it an aka server?",
            message => message,
        };
        ServerError::new(status.code(), "", message).into()
    }

    /// The same fault with the id that was refused: the server's sentences speak of "alias_id".
    pub(super) fn about(mut self, id: &[u8]) -> Self {
        if let Self::Refused(error) = &mut self {
            error.item = Some(JsonId::item(id));
        }
        self
    }

    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Closed => Exit::Done,
            Self::Refused(_)
            | Self::Partly { .. }
            | Self::Interrupted
            | Self::Problems
            | Self::Runtime(_) => Exit::Refused,
            Self::Usage(_) => Exit::Usage,
            Self::Config(_) => Exit::Config,
            Self::Unreachable { .. } | Self::Unavailable(_) => Exit::Unreachable,
            Self::Io { .. } => Exit::Io,
        }
    }

    /// The fault in the one shape that is shown; `None` if nothing is left to say.
    pub(super) fn shown(&self) -> Option<ServerError> {
        Some(match self {
            Self::Usage(message) => ServerError::new(Code::InvalidArgument, "USAGE", message),
            Self::Config(message) => ServerError::new(Code::InvalidArgument, "CONFIG", message),
            Self::Unreachable { server, message } => {
                let message = format!("cannot reach {server}: {message}");
                ServerError::new(Code::Unavailable, "UNREACHABLE", &message)
            }
            Self::Unavailable(message) => ServerError::new(Code::Unavailable, "", message),
            Self::Refused(error) => ServerError::clone(error),
            Self::Partly { failed, total } => {
                let message = format!("{failed} of {total} failed");
                ServerError::new(Code::Unknown, "PARTLY_FAILED", &message)
            }
            Self::Interrupted => {
                ServerError::new(Code::Cancelled, "INTERRUPTED", "told to stop by a signal")
            }
            Self::Runtime(error) => {
                let message = format!("cannot start the runtime: {error}");
                ServerError::new(Code::Unknown, "", &message)
            }
            Self::Io { what, source } => {
                ServerError::new(Code::Unknown, "IO_ERROR", &format!("{what}: {source}"))
            }
            Self::Problems | Self::Closed => return None,
        })
    }
}

impl From<ServerError> for CliFault {
    fn from(error: ServerError) -> Self {
        Self::Refused(Box::new(error))
    }
}

impl From<ConfigFault> for CliFault {
    fn from(fault: ConfigFault) -> Self {
        Self::Config(fault.to_string())
    }
}

impl From<StoreError> for CliFault {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::WrongShard(message) => Self::Config(message),
            error => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<ServeFault> for CliFault {
    fn from(fault: ServeFault) -> Self {
        match fault {
            ServeFault::Config(fault) | ServeFault::Entrance(EntranceFault::Config(fault)) => {
                fault.into()
            }
            ServeFault::Store(error) => error.into(),
            ServeFault::Start(StartFault::Wrong(message)) => Self::Config(message),
            fault => Self::Unavailable(fault.to_string()),
        }
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
