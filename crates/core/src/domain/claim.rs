//! What a server of a shard says of itself with each answer (rule 10).

use super::Micros;

/// Whether a server may be the shard's primary, in the server's own words.
///
/// A shard may be a group of servers, and its primary moves. So every answer brings the claim of
/// the server that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The server is not read-only.
    pub takes_writes: bool,
    /// The last beat that the server knows of. `None`: the shard is one server, which has nobody to
    /// be confused with.
    pub beat: Option<Beat>,
}

/// A beat: a commit of one small row, by which a primary proves that it still is one.
///
/// A server that was cut off from its group says that it takes writes, but cannot commit. The idea
/// is a lease that the group's own quorum grants (C. Gray and D. Cheriton, "Leases", 1989).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    /// When the commit began, by the clock of the server that made it.
    pub at: Micros,
    /// The server that answers made it. The beat of another server has that server's time.
    pub by_this_server: bool,
}

impl Claim {
    /// The claim of a database that is one server.
    pub const SOLE: Self = Self { takes_writes: true, beat: None };
}

impl Default for Claim {
    fn default() -> Self {
        Self::SOLE
    }
}
