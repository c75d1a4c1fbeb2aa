//! Why an admin request was refused (the table in `docs/design.md`, section 2).

use crate::quotas::QuotaExceeded;
use crate::shard::ReadFault;
use crate::store::StoreError;
use aka_core::domain::{Bar, Id, IdFault};
use std::fmt;

/// Which of the two ids of an alias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhichId {
    Alias,
    Canonical,
}

impl WhichId {
    /// The name of the id's field in the contract.
    pub fn field(self) -> &'static str {
        match self {
            Self::Alias => "alias_id",
            Self::Canonical => "canonical_id",
        }
    }
}

impl fmt::Display for WhichId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.field())
    }
}

/// What the client is told. It names no database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("project_id is 0 or above 2^63 - 1")]
    Project,
    #[error("{0} {1}")]
    Id(WhichId, IdFault),
    #[error(
        "{0} is a placeholder that broken clients send; an alias of it would merge strangers. Send the real id"
    )]
    Placeholder(WhichId),
    #[error("an id cannot be an alias of itself, and canonical_id is, or leads to, alias_id")]
    SelfAlias,
    #[error(
        "alias_id is already an alias of {canonical:?} (version {version}); update or delete that alias first"
    )]
    AliasTaken { canonical: Id, version: u64 },
    #[error(
        "alias_id is the canonical id of other ids, so it cannot be an alias itself; re-point or delete those aliases first"
    )]
    AliasIsCanonical,
    #[error("another write of one of these ids is under way; try again")]
    RetryLater,
    #[error("alias_id is not an alias")]
    NotFound,
    #[error("expected_version is required: get the alias, and send the version that you saw")]
    VersionRequired,
    #[error("the alias has version {current}, not the expected one; get it, look, and try again")]
    VersionMismatch { current: u64 },
    #[error("canonical_id has {limit} aliases already, which is the limit")]
    TooManyAliases { limit: u64 },
    #[error(transparent)]
    Quota(QuotaExceeded),
    #[error("page_size is negative; 0 means the default")]
    PageSize,
    #[error("page_token is not one that this list returned; begin again without one")]
    PageToken,
    #[error("a shard that holds one of these ids cannot be reached; try again")]
    Unavailable,
    #[error("{}", barred_write(*.0))]
    Barred(Bar),
    #[error(
        "the shard's answer was lost: the write happened whole or not at all, and repeating it is safe"
    )]
    Unknown,
    #[error("too many writes are waiting; try again later")]
    Overloaded,
    #[error("the deadline passed before the write was begun")]
    DeadlineExceeded,
}

impl From<ReadFault> for Refusal {
    fn from(fault: ReadFault) -> Self {
        match fault {
            ReadFault::Overloaded => Self::Overloaded,
            ReadFault::Unavailable => Self::Unavailable,
            ReadFault::Barred(bar) => Self::Barred(bar),
        }
    }
}

/// The refusal after a read that failed. The log has the cause.
pub(super) fn unavailable(error: StoreError) -> Refusal {
    tracing::warn!(%error, "an admin read failed");
    error.bar().map_or(Refusal::Unavailable, Refusal::Barred)
}

/// What a client is told of a shard that does not let aka read or write. It does not say what the
/// database said.
fn barred_write(bar: Bar) -> &'static str {
    match bar {
        Bar::ReadOnly => {
            "a shard that holds one of these ids takes no writes now; nothing was written. Try again, and tell the operator of aka if it lasts"
        }
        Bar::Full => {
            "a shard that holds one of these ids has no room left; nothing was written. Tell the operator of aka: a retry does not help"
        }
        Bar::Refused => {
            "a shard that holds one of these ids refuses what aka asks of it; nothing was written. Tell the operator of aka: a retry does not help"
        }
    }
}
