//! The errors of a database.

use aka_core::domain::Bar;

/// A failed call on a database. The text is for logs and operators; it never reaches a client.
///
/// Errors change their type at two places only. On the server, a store error becomes a refusal or
/// fault where it is logged, and `rpc` turns that into a status. In the commands, it becomes the
/// fault that decides the exit code.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no connection, or it broke.
    #[error("cannot reach {address}: {cause}")]
    Unreachable { address: String, cause: String },
    /// It answers, but there is no connection: the database or its certificate is not as it should
    /// be. Waiting alone does not help.
    #[error("cannot reach {address}: {cause}")]
    NotConnected { address: String, cause: String },
    /// No answer came in time.
    #[error("{address} did not answer within {limit_ms} ms")]
    TimedOut { address: String, limit_ms: u64 },
    /// Another write was in the way (a lock wait or a deadlock). Nothing was written.
    #[error("{address} is busy: {cause}")]
    Busy { address: String, cause: String },
    /// The database is not the one that the configuration means. The text says so in one sentence.
    #[error("{0}")]
    WrongShard(String),
    /// The database answered, and does not let aka read or write. Nothing was written.
    #[error("{address} {bar}: {cause}")]
    Barred { address: String, bar: Bar, cause: String },
    /// A statement would be longer than the server takes. It was not sent.
    #[error(
        "{address} takes statements of {limit} bytes, and this one has {bytes}: raise max_allowed_packet"
    )]
    TooLarge { address: String, bytes: usize, limit: usize },
    /// The database refused a statement for another reason, or holds a row that cannot be right.
    #[error("{address} refused: {cause}")]
    Refused { address: String, cause: String },
}

impl StoreError {
    /// No server of the shard is proven to be the primary. There may be one soon.
    pub fn no_primary(address: String) -> Self {
        let cause = "no server is its primary: none takes writes and commits".to_owned();
        Self::Unreachable { address, cause }
    }

    /// Whether the connection on which it happened can no longer be used.
    ///
    /// It cannot after a time-out: the answer may still come, and the next query would take it for
    /// its own.
    pub fn closes_connection(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::NotConnected { .. }
                | Self::TimedOut { .. }
                | Self::WrongShard(_)
        )
    }

    /// The definite condition that a client is told of, if it is one.
    pub fn bar(&self) -> Option<Bar> {
        match self {
            Self::Barred { bar, .. } => Some(*bar),
            Self::TooLarge { .. } | Self::Refused { .. } => Some(Bar::Refused),
            Self::Unreachable { .. }
            | Self::NotConnected { .. }
            | Self::TimedOut { .. }
            | Self::Busy { .. }
            | Self::WrongShard(_) => None,
        }
    }
}

/// A commit that failed.
#[derive(Debug)]
pub struct CommitFailure {
    pub error: StoreError,
    /// The database says that it rolled the transaction back. Otherwise the outcome is unknown.
    pub rolled_back: bool,
}

impl From<CommitFailure> for StoreError {
    fn from(failure: CommitFailure) -> Self {
        failure.error
    }
}
