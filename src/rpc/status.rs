//! The one place where errors become gRPC statuses, each with its `ErrorInfo`.
//!
//! On the server an error changes its type at most twice: a store error becomes a refusal or a
//! fault, and a refusal or a fault becomes a status here.

use crate::admin::{Refusal, WhichId};
use crate::auth::Denial;
use crate::quotas::QuotaExceeded;
use crate::resolve::ReadRefusal;
use aka_core::coherence::LookupFailure;
use aka_core::domain::Bar;
use aka_wire::encoding::ACCEPTED_ENCODINGS;
use aka_wire::frame::FrameFault;
use aka_wire::pb;
use aka_wire::{MAX_MESSAGE, code_name};
use std::collections::HashMap;
use std::time::Duration;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

const DOMAIN: &str = "aka";

/// The header that names the encodings that are read.
const ACCEPT_ENCODING: &str = "grpc-accept-encoding";
/// The trailer that says when a call may be repeated (gRPC proposal A6).
const PUSHBACK: &str = "grpc-retry-pushback-ms";
/// What tonic says of a message that is marked as compressed in a call without an encoding.
const TONIC_NO_ENCODING: &str = "no grpc-encoding was specified";

/// After which time a client should repeat a call that failed for lack of a shard or of room.
const RETRY_DELAY: Duration = Duration::from_millis(250);

/// Why a call failed for a reason that does not depend on its ids.
#[derive(Debug, thiserror::Error)]
pub enum CallFault {
    #[error("the bytes are not the message that this method takes: {0}")]
    Malformed(String),
    #[error("compressed messages are read if grpc-encoding is gzip, and in no other encoding")]
    OtherEncoding,
    #[error("a message is marked as compressed, but the call has no grpc-encoding")]
    NoEncoding,
    #[error("the message is larger than {0} bytes; send less at once")]
    MessageTooLarge(usize),
    #[error("{0} requests are more than the {1} that a batch may hold")]
    BatchTooLarge(usize, usize),
    #[error("this server holds as many unfinished requests and unread answers as it may")]
    NoMemory,
    #[error("this server is late with its work and refuses what costs much; try again later")]
    Late,
    #[error("{0}")]
    Denied(Denial),
    #[error("this server is stopping; send the request again")]
    ShuttingDown,
    #[error("the deadline passed")]
    DeadlineExceeded,
    #[error("{0}")]
    Unimplemented(String),
    #[error("a bug in aka: {0}")]
    Internal(String),
}

/// A failure in the contract's terms. It becomes a status, or an item of a batch.
pub struct Described {
    code: Code,
    reason: &'static str,
    message: String,
    metadata: HashMap<String, String>,
    field: Option<&'static str>,
    retry: Option<Duration>,
}

impl Described {
    fn new(code: Code, reason: &'static str, message: impl ToString) -> Self {
        let message = message.to_string();
        Self { code, reason, message, metadata: HashMap::new(), field: None, retry: None }
    }

    fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.metadata.insert(name.to_owned(), value.to_string());
        self
    }

    fn field(self, field: &'static str) -> Self {
        Self { field: Some(field), ..self }
    }

    fn retry(self, delay: Duration) -> Self {
        Self { retry: Some(delay), ..self }
    }

    /// The failure as the item of a batch with this index.
    pub fn into_item(self, index: u32) -> pb::Failure {
        pb::Failure {
            index,
            code: self.code as i32,
            message: self.message,
            reason: self.reason.to_owned(),
            metadata: self.metadata,
        }
    }
}

impl From<Described> for Status {
    fn from(described: Described) -> Self {
        let Described { code, reason, message, metadata, field, retry } = described;
        let mut details = ErrorDetails::with_error_info(reason, DOMAIN, metadata);
        if let Some(field) = field {
            details.add_bad_request_violation(field, &message);
        }
        if retry.is_some() {
            details.set_retry_info(retry);
        }
        let mut status = Status::with_error_details(code, message, details);
        if let (Some(delay), Code::ResourceExhausted) = (retry, code) {
            // Clients of gRPC that repeat calls by themselves wait for so long.
            status.metadata_mut().insert(PUSHBACK, (delay.as_millis() as u64).into());
        }
        status
    }
}

impl From<prost::DecodeError> for CallFault {
    fn from(error: prost::DecodeError) -> Self {
        Self::Malformed(error.to_string())
    }
}

impl From<FrameFault> for CallFault {
    fn from(fault: FrameFault) -> Self {
        match fault {
            FrameFault::OtherEncoding => Self::OtherEncoding,
            FrameFault::NoEncoding => Self::NoEncoding,
            FrameFault::BadFlag | FrameFault::Damaged => Self::Malformed(fault.to_string()),
            FrameFault::TooLong(longest) => Self::MessageTooLarge(longest),
            FrameFault::CutShort => Self::Malformed("it is cut short".to_owned()),
        }
    }
}

impl From<CallFault> for Status {
    fn from(fault: CallFault) -> Self {
        let text = fault.to_string();
        let (code, reason) = match fault {
            CallFault::Malformed(_) => (Code::InvalidArgument, "MALFORMED_MESSAGE"),
            CallFault::MessageTooLarge(_) => (Code::InvalidArgument, "MESSAGE_TOO_LARGE"),
            CallFault::BatchTooLarge(..) => (Code::InvalidArgument, "BATCH_TOO_LARGE"),
            CallFault::DeadlineExceeded => (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
            CallFault::Unimplemented(_) => (Code::Unimplemented, "UNIMPLEMENTED"),
            CallFault::Internal(_) => (Code::Internal, "INTERNAL"),
            // gRPC's specification demands this code.
            CallFault::NoEncoding => (Code::Internal, "MALFORMED_MESSAGE"),
            CallFault::OtherEncoding => {
                let mut status = Status::from(CallFault::Unimplemented(text));
                let accepted = MetadataValue::from_static(ACCEPTED_ENCODINGS);
                status.metadata_mut().insert(ACCEPT_ENCODING, accepted);
                return status;
            }
            CallFault::Denied(denial) => return denied(denial).into(),
            CallFault::NoMemory | CallFault::Late => {
                let described = Described::new(Code::ResourceExhausted, "OVERLOADED", text);
                return described.retry(RETRY_DELAY).into();
            }
            CallFault::ShuttingDown => {
                let described = Described::new(Code::Unavailable, "SHUTTING_DOWN", text);
                return described.retry(RETRY_DELAY).into();
            }
        };
        Described::new(code, reason, text).into()
    }
}

impl From<Denial> for CallFault {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}

impl From<Denial> for Status {
    fn from(denial: Denial) -> Self {
        denied(denial).into()
    }
}

/// A call, or an item of a batch, that the gate does not let through.
pub fn denied(denial: Denial) -> Described {
    let described = |code, reason| Described::new(code, reason, denial);
    match denial {
        Denial::NoCredentials => described(Code::Unauthenticated, "CREDENTIALS_REQUIRED"),
        Denial::BadCredentials | Denial::Expired => {
            described(Code::Unauthenticated, "CREDENTIALS_INVALID")
        }
        Denial::Role(role) => described(Code::PermissionDenied, "ROLE_REQUIRED").with("role", role),
        Denial::Project => described(Code::PermissionDenied, "PROJECT_FORBIDDEN"),
    }
}

/// A failed lookup.
pub fn lookup(failure: LookupFailure) -> Described {
    match failure {
        LookupFailure::Unavailable => Described::new(
            Code::Unavailable,
            "SHARD_UNAVAILABLE",
            "the shard that holds this id cannot be reached; whether it is an alias is not known",
        )
        .retry(RETRY_DELAY),
        LookupFailure::Barred(bar) => barred(
            bar,
            "the shard that holds this id refuses what aka asks of it; whether it is an alias is not known. Tell the operator of aka: a retry does not help",
        ),
        LookupFailure::Overloaded => Described::new(
            Code::ResourceExhausted,
            "OVERLOADED",
            "this server, or the shard that holds this id, has too many lookups to do; try again later",
        )
        .retry(RETRY_DELAY),
        LookupFailure::DeadlineExceeded => Described::new(
            Code::DeadlineExceeded,
            "DEADLINE_EXCEEDED",
            "the deadline passed before it was known whether this id is an alias",
        ),
        LookupFailure::TokenAhead => Described::new(
            Code::Unavailable,
            "TOKEN_AHEAD",
            "the database is behind the write that the consistency_token names; try again. If a \
             failover lost that write, this ends when the database has passed its place",
        )
        .retry(RETRY_DELAY),
    }
}

/// A shard that does not let aka read or write. The code is that of a fault of the service, so that
/// no client takes it for one of its requests. A retry helps where a failover may end the
/// condition.
fn barred(bar: Bar, message: impl ToString) -> Described {
    let described = |reason| Described::new(Code::Unavailable, reason, message);
    match bar {
        Bar::ReadOnly => described("SHARD_READ_ONLY").retry(RETRY_DELAY),
        Bar::Full => described("SHARD_FULL"),
        Bar::Refused => described("SHARD_REFUSED"),
    }
}

/// A read that was refused as a whole.
pub fn read(refusal: &ReadRefusal) -> Described {
    let (reason, field) = match refusal {
        ReadRefusal::Late => {
            let described = Described::new(Code::ResourceExhausted, "OVERLOADED", refusal);
            return described.retry(RETRY_DELAY);
        }
        ReadRefusal::Quota(exceeded) => return quota(exceeded),
        ReadRefusal::Project => ("INVALID_PROJECT", "project_id"),
        ReadRefusal::TooMany(_) => ("BATCH_TOO_LARGE", "distinct_ids"),
        ReadRefusal::Token(_) => ("INVALID_TOKEN", "consistency_token"),
    };
    Described::new(Code::InvalidArgument, reason, refusal).field(field)
}

/// A request above the quota of its project. The delay is exact.
fn quota(exceeded: &QuotaExceeded) -> Described {
    Described::new(Code::ResourceExhausted, "QUOTA_EXCEEDED", exceeded).retry(exceeded.wait)
}

/// A refused call of the admin service.
pub fn refusal(refusal: &Refusal) -> Described {
    let described = |code, reason| Described::new(code, reason, refusal);
    let invalid = |reason, field| described(Code::InvalidArgument, reason).field(field);
    match refusal {
        Refusal::Project => invalid("INVALID_PROJECT", "project_id"),
        Refusal::Id(which, _) => invalid("INVALID_ID", which.field()),
        Refusal::Placeholder(which) => invalid("PLACEHOLDER_ID", which.field()),
        Refusal::SelfAlias => invalid("SELF_ALIAS", WhichId::Canonical.field()),
        Refusal::VersionRequired => invalid("VERSION_REQUIRED", "expected_version"),
        Refusal::PageSize => invalid("INVALID_PAGE_SIZE", "page_size"),
        Refusal::PageToken => invalid("INVALID_PAGE_TOKEN", "page_token"),
        Refusal::AliasTaken { canonical, version } => described(Code::AlreadyExists, "ALIAS_TAKEN")
            .with("canonical_id", canonical.to_text())
            .with("version", version),
        Refusal::AliasIsCanonical => described(Code::FailedPrecondition, "ALIAS_IS_CANONICAL"),
        Refusal::RetryLater => described(Code::Aborted, "RETRY_LATER").retry(RETRY_DELAY),
        Refusal::NotFound => described(Code::NotFound, "ALIAS_NOT_FOUND"),
        Refusal::VersionMismatch { current } => {
            described(Code::Aborted, "VERSION_MISMATCH").with("version", current)
        }
        Refusal::TooManyAliases { limit } => {
            described(Code::ResourceExhausted, "TOO_MANY_ALIASES").with("limit", limit)
        }
        Refusal::Quota(exceeded) => quota(exceeded),
        Refusal::Unavailable => {
            described(Code::Unavailable, "SHARD_UNAVAILABLE").retry(RETRY_DELAY)
        }
        Refusal::Barred(bar) => barred(*bar, refusal),
        Refusal::Unknown => described(Code::Unavailable, "OUTCOME_UNKNOWN").retry(RETRY_DELAY),
        Refusal::Overloaded => described(Code::ResourceExhausted, "OVERLOADED").retry(RETRY_DELAY),
        Refusal::DeadlineExceeded => described(Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
    }
}

/// Gives a status the contract's form. Statuses that tonic makes have no `ErrorInfo`.
pub fn contract(status: Status) -> Status {
    if status.get_details_error_info().is_some() {
        return status;
    }
    let message = status.message().to_owned();
    match status.code() {
        Code::Ok => status,
        // tonic's codes for a message over the limit: as it was sent, and inflated.
        Code::OutOfRange | Code::ResourceExhausted => {
            CallFault::MessageTooLarge(MAX_MESSAGE).into()
        }
        Code::Internal if message.contains(TONIC_NO_ENCODING) => CallFault::NoEncoding.into(),
        // tonic's code for a bad frame, and for bytes that are not the message.
        Code::Internal => CallFault::Malformed(message).into(),
        Code::Unimplemented if status.metadata().contains_key(ACCEPT_ENCODING) => {
            CallFault::OtherEncoding.into()
        }
        Code::Unimplemented => CallFault::Unimplemented(match message.is_empty() {
            true => "this server has no such method".to_owned(),
            false => message,
        })
        .into(),
        code => Described::new(code, reason_of(code), message).into(),
    }
}

/// The name of a status's code, and its reason if it is an error of the contract.
pub fn outcome(status: &Status) -> (&'static str, Option<String>) {
    (code_name(status.code()), status.get_details_error_info().map(|info| info.reason))
}

fn reason_of(code: Code) -> &'static str {
    match code {
        Code::InvalidArgument => "MALFORMED_MESSAGE",
        Code::Cancelled => "CANCELLED",
        // The health service answers so for a service that it does not know.
        Code::NotFound => "NOT_FOUND",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::Unavailable => "UNAVAILABLE",
        _ => "INTERNAL",
    }
}
