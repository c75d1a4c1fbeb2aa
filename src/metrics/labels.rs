//! Metrics that are told apart by a label: each value of it has a counter of its own.

use super::registry::{Handle, Metric};
use crate::store::{ServerRole, StoreError};
use aka_core::coherence::{FilterSource, LookupFailure, Outcome};
use aka_core::domain::Bar;
use metrics::{Counter, Gauge};

/// Series by a label: `pattern => value of the label`. A `match` makes sure that each case has one.
macro_rules! counters {
    ($(#[$doc:meta])* $group:ident by $label:literal of $case:ty {$($cases:tt)*}) => {
        by_label!(Counter, $(#[$doc])* $group by $label of $case {$($cases)*});
    };
}

/// The same for series of any kind.
macro_rules! by_label {
    ($kind:ident, $(#[$doc:meta])* $group:ident by $label:literal of $case:ty {
        $($pattern:pat => $value:ident,)*
    }) => {
        $(#[$doc])*
        pub struct $group {
            $($value: $kind,)*
        }

        impl $group {
            /// The value of the label.
            pub fn label(case: $case) -> &'static str {
                match case { $($pattern => stringify!($value),)* }
            }

            /// The series of this case.
            #[inline]
            pub fn of(&self, case: $case) -> &$kind {
                match case { $($pattern => &self.$value,)* }
            }
        }

        impl Handle for $group {
            fn register(metric: &Metric<'_>) -> Self {
                let series = |value| $kind::register(&metric.labelled($label, value));
                Self { $($value: series(stringify!($value)),)* }
            }
        }
    };
}

/// How the lookup of one id ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupResult {
    /// The id cannot be an alias: it is a placeholder, too long, or not UTF-8.
    Invalid,
    Answered(Outcome),
    Failed(LookupFailure),
}

counters! {
    /// One count for each id that was asked for.
    Lookups by "outcome" of LookupResult {
        LookupResult::Invalid => invalid,
        LookupResult::Answered(Outcome::Filtered) => filtered,
        LookupResult::Answered(Outcome::Hit) => hit,
        LookupResult::Answered(Outcome::NegativeHit) => negative_hit,
        LookupResult::Answered(Outcome::Loaded) => loaded,
        LookupResult::Answered(Outcome::Coalesced) => coalesced,
        LookupResult::Answered(Outcome::Degraded) => degraded,
        LookupResult::Failed(LookupFailure::Unavailable | LookupFailure::Barred(_)) => unavailable,
        LookupResult::Failed(LookupFailure::Overloaded) => overloaded,
        LookupResult::Failed(LookupFailure::DeadlineExceeded) => deadline_exceeded,
        LookupResult::Failed(LookupFailure::TokenAhead) => token_ahead,
    }
}

/// What was scarce when a call was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scarce {
    /// Memory for unfinished requests and unread answers.
    Memory,
    /// Time of the thread that serves the call.
    Time,
    /// The quota of the project.
    Quota,
}

counters! {
    /// One count for each refusal.
    Shed by "reason" of Scarce {
        Scarce::Memory => memory,
        Scarce::Time => time,
        Scarce::Quota => quota,
    }
}

/// Why the server closed a gRPC connection before its client wanted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// It was the longest without a call while few places were left.
    #[error("it was idle, and few places were left")]
    Idle,
    #[error("the client's address has too many connections")]
    TooManyOfPeer,
    /// Frames that are no calls, or another excess that h2 finds.
    #[error("the client sends too many frames that are no calls")]
    TooManyFrames,
    /// The client does not keep to HTTP/2.
    #[error("the client does not keep to HTTP/2")]
    Protocol,
    #[error("the client does not read")]
    Unread,
    #[error("the client does not answer pings")]
    Silent,
}

counters! {
    /// One count for each connection that the server closed.
    ClosedConnections by "reason" of CloseReason {
        CloseReason::Idle => idle,
        CloseReason::TooManyOfPeer => too_many_of_peer,
        CloseReason::TooManyFrames => too_many_frames,
        CloseReason::Protocol => protocol,
        CloseReason::Unread => unread,
        CloseReason::Silent => silent,
    }
}

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteResult {
    Created,
    Updated,
    Deleted,
    Unchanged,
    Refused,
    Failed,
}

counters! {
    /// One count for each write.
    Writes by "result" of WriteResult {
        WriteResult::Created => created,
        WriteResult::Updated => updated,
        WriteResult::Deleted => deleted,
        WriteResult::Unchanged => unchanged,
        WriteResult::Refused => refused,
        WriteResult::Failed => failed,
    }
}

counters! {
    /// One count for each filter that was filled.
    FilterBuilds by "source" of FilterSource {
        FilterSource::Scan => scan,
        FilterSource::Snapshot => snapshot,
    }
}

counters! {
    /// One count for each failed call on a shard's database, and for each failed login.
    ShardErrors by "kind" of &StoreError {
        StoreError::Unreachable { .. } | StoreError::NotConnected { .. } => unreachable,
        StoreError::TimedOut { .. } => timed_out,
        StoreError::Busy { .. } => busy,
        StoreError::Barred { bar: Bar::ReadOnly, .. } => read_only,
        StoreError::Barred { bar: Bar::Full, .. } => full,
        StoreError::Barred { bar: Bar::Refused, .. } => refused,
        StoreError::TooLarge { .. } => too_large,
        StoreError::WrongShard(_) => wrong_shard,
        StoreError::Refused { .. } => failed,
    }
}

by_label! {
    Gauge,
    /// One gauge for each role that a server of a shard may have.
    ServerRoles by "role" of ServerRole {
        ServerRole::Primary => primary,
        ServerRole::Replica => replica,
        ServerRole::Unreachable => unreachable,
    }
}

/// How a TLS handshake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeResult {
    Ok,
    /// The client does not speak TLS.
    NotTls,
    /// The client speaks no version or no cipher that the server does.
    Incompatible,
    /// The client does not offer HTTP/2.
    NoProtocol,
    /// The client shows no certificate, but must.
    NoCertificate,
    BadCertificate,
    /// The client does not trust the server's certificate, or gave up for a reason of its own.
    RefusedByClient,
    TimedOut,
    /// It did not go on, and others waited for its place.
    MadeRoom,
    /// The connection ended.
    BrokenOff,
    Failed,
}

counters! {
    /// One count for each handshake.
    Handshakes by "result" of HandshakeResult {
        HandshakeResult::Ok => ok,
        HandshakeResult::NotTls => not_tls,
        HandshakeResult::Incompatible => incompatible,
        HandshakeResult::NoProtocol => no_protocol,
        HandshakeResult::NoCertificate => no_certificate,
        HandshakeResult::BadCertificate => bad_certificate,
        HandshakeResult::RefusedByClient => refused_by_client,
        HandshakeResult::TimedOut => timed_out,
        HandshakeResult::MadeRoom => made_room,
        HandshakeResult::BrokenOff => broken_off,
        HandshakeResult::Failed => failed,
    }
}

/// Files that are read again while the service runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadedPart {
    /// Certificates and keys of a port.
    Tls(WhichPort),
    /// The principals.
    Auth,
    /// The limits of projects.
    Limits,
    /// The audit log, which is opened again.
    AuditLog,
}

/// Which of the two ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhichPort {
    Grpc,
    Operations,
}

/// What the gate said of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateResult {
    /// The credentials and their role suffice. The project is looked at later.
    Ok,
    NoCredentials,
    BadCredentials,
    Expired,
    Role,
    Project,
}

counters! {
    /// One count for each call that is let in, and for each refusal.
    GateResults by "result" of GateResult {
        GateResult::Ok => ok,
        GateResult::NoCredentials => no_credentials,
        GateResult::BadCredentials => bad_credentials,
        GateResult::Expired => expired,
        GateResult::Role => role_required,
        GateResult::Project => project_forbidden,
    }
}

/// What became of a line of the audit trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditLineResult {
    Written,
    /// The disk was full, or lines came faster than they could be written.
    Lost,
}

counters! {
    /// One count for each line.
    AuditLines by "result" of AuditLineResult {
        AuditLineResult::Written => written,
        AuditLineResult::Lost => lost,
    }
}

/// Whether what was read could be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadResult {
    Ok,
    /// What was read before stays.
    Failed,
}

counters! {
    /// One count for each time that the files of a part were read again.
    ReloadResults by "result" of ReloadResult {
        ReloadResult::Ok => ok,
        ReloadResult::Failed => failed,
    }
}

by_label! {
    ReloadResults,
    /// One group for each part.
    Reloads by "what" of ReloadedPart {
        ReloadedPart::Tls(WhichPort::Grpc) => tls,
        ReloadedPart::Tls(WhichPort::Operations) => metrics_tls,
        ReloadedPart::Auth => auth,
        ReloadedPart::Limits => limits,
        ReloadedPart::AuditLog => audit_log,
    }
}

by_label! {
    Gauge,
    /// One time for the certificates of each port.
    CertificateExpiry by "what" of WhichPort {
        WhichPort::Grpc => tls,
        WhichPort::Operations => metrics_tls,
    }
}

/// The names of the gRPC codes, by their numbers.
const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

/// RPCs that ended, by their gRPC code.
pub struct Handled([Counter; CODES.len()]);

impl Handled {
    /// Counts an RPC that ended with the code of this number.
    pub fn count(&self, code: usize) {
        if let Some(counter) = self.0.get(code) {
            counter.increment(1);
        }
    }
}

impl Handle for Handled {
    fn register(metric: &Metric<'_>) -> Self {
        Self(CODES.map(|code| Counter::register(&metric.labelled("grpc_code", code))))
    }
}

/// A gauge that is always 1 and names the version.
pub struct BuildInfo;

impl Handle for BuildInfo {
    fn register(metric: &Metric<'_>) -> Self {
        Gauge::register(&metric.labelled("version", env!("CARGO_PKG_VERSION"))).set(1.0);
        Self
    }
}
