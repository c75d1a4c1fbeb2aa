//! One server of a group, as the survey last found it.

use crate::store::{Server, ServerRole};
use std::time::Instant;

/// What a server of a shard was when it was last looked at.
#[derive(Clone, Debug)]
pub struct ServerReport {
    pub server: Server,
    pub role: ServerRole,
    /// Whether the connections of this instance use it.
    pub in_use: bool,
    /// Its seq. `None` if it does not answer.
    pub seq: Option<u64>,
    /// How many changes it lacks that the primary has, as far as this instance knows.
    pub lag: Option<u64>,
    /// Since when it has had this role.
    pub since: Instant,
}
