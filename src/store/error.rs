//! What can go wrong between aka and a database.

/// A failed call on a database. The text is for logs and operators; it never reaches a client.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No connection, or it broke.
    #[error("cannot reach {address}: {cause}")]
    Unreachable { address: String, cause: String },
    /// No answer in time.
    #[error("{address} did not answer within {limit_ms} ms")]
    TimedOut { address: String, limit_ms: u64 },
    /// Another writer was in the way: a lock wait, a deadlock. Nothing was written.
    #[error("{address} is busy: {cause}")]
    Busy { address: String, cause: String },
    /// The database is not the one that the configuration says. One clear sentence.
    #[error("{0}")]
    WrongShard(String),
    /// The database refused a statement, or holds a row that cannot be.
    #[error("{address} refused: {cause}")]
    Refused { address: String, cause: String },
}

impl StoreError {
    /// Whether the connection that it happened on is of no more use.
    ///
    /// After a time-out an answer may still come, and the next query would take it for its own.
    pub fn closes_connection(&self) -> bool {
        !matches!(self, Self::Busy { .. } | Self::Refused { .. })
    }
}
