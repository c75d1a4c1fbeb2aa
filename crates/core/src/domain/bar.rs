//! Why a database that answers does not let aka read or write.

use std::fmt;

/// A definite condition of a shard's database, unlike a lost connection. The call that met it had
/// no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bar {
    /// The database takes no writes. It may be a replica, or in the middle of a failover.
    ReadOnly,
    /// There is no room for what would be written.
    Full,
    /// The database refuses aka's login or its statements, until somebody changes its settings.
    Refused,
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReadOnly => "is read-only",
            Self::Full => "is full",
            Self::Refused => "refuses aka's login or statements",
        })
    }
}
