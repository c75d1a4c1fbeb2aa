//! What went wrong, and whether a retry can help.

use std::error::Error as _;
use std::io;
use std::iter;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Code, Status, TimeoutExpired};
use tonic_types::StatusExt;

/// Why there is no answer. None of these means "not an alias", and none of them holds the id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// No server could find out. A later call may.
    #[error("no server could answer: {message}")]
    Unavailable { message: Arc<str> },
    /// The time was over before an answer came.
    #[error("no answer within the time that was allowed")]
    DeadlineExceeded,
    /// A server refused the call. The same call will be refused again.
    #[error("{reason}: {message}")]
    Refused {
        code: Code,
        /// For programs, such as `INVALID_PROJECT`.
        reason: Arc<str>,
        /// For people.
        message: Arc<str>,
    },
    /// As many ids wait as `max_queue` allows.
    #[error("too many ids wait for an answer")]
    QueueFull,
    /// The client was closed.
    #[error("the client is closed")]
    Closed,
}

/// Why a client cannot be made: an option or a file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConnectError(pub(crate) String);

/// A failed call.
pub(crate) struct CallFault {
    pub error: ResolveError,
    pub retry: bool,
    /// How long the server asks us to wait.
    pub after: Option<Duration>,
    /// Nobody listens at the address, so nothing was sent.
    pub not_sent: bool,
}

impl ResolveError {
    pub(crate) fn unavailable(message: &str) -> Self {
        Self::Unavailable { message: message.into() }
    }

    pub(crate) fn refused(code: Code, reason: &str, message: &str) -> Self {
        let reason = if reason.is_empty() { aka_wire::code_name(code) } else { reason };
        Self::Refused { code, reason: reason.into(), message: message.into() }
    }

    /// The error of one id of a batch, and whether a retry can help.
    pub(crate) fn of_failure(failure: &aka_wire::pb::Failure) -> (Self, bool) {
        match Code::from(failure.code) {
            Code::Unavailable => (Self::unavailable(&failure.message), true),
            Code::DeadlineExceeded => (Self::DeadlineExceeded, false),
            code => (Self::refused(code, &failure.reason, &failure.message), false),
        }
    }
}

impl CallFault {
    pub(crate) fn late() -> Self {
        Self { error: ResolveError::DeadlineExceeded, retry: false, after: None, not_sent: false }
    }

    /// What a status means for a call that may be repeated.
    pub(crate) fn of(status: &Status) -> Self {
        let info = status.get_details_error_info().filter(|info| info.domain == "aka");
        let after = status.get_details_retry_info().and_then(|info| info.retry_delay);
        let reason = info.as_ref().map_or("", |info| &*info.reason);
        let causes = || iter::successors(status.source(), |&cause| cause.source());
        let message = match causes().last() {
            Some(cause) => cause.to_string(),
            None => status.message().to_owned(),
        };
        if causes().any(|cause| cause.is::<TimeoutExpired>()) {
            return Self::late();
        }
        let is_refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
        let not_sent = causes().any(|cause| cause.downcast_ref().is_some_and(is_refused));
        let (error, retry) = match status.code() {
            Code::DeadlineExceeded => (ResolveError::DeadlineExceeded, false),
            Code::Unavailable => (ResolveError::unavailable(&message), true),
            // A connection that ended under the call: a GOAWAY, a reset, a half of an answer.
            Code::Cancelled | Code::Unknown | Code::Internal if info.is_none() => {
                (ResolveError::unavailable(&message), true)
            }
            Code::ResourceExhausted if after.is_some() => {
                (ResolveError::unavailable(&message), true)
            }
            code => (ResolveError::refused(code, reason, &message), false),
        };
        Self { error, retry, after, not_sent }
    }
}
