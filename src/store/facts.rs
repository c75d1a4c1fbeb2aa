//! What a server of a shard says of itself, for `aka doctor`.

use aka_core::domain::Identity;

/// What one server says. It holds facts only; `aka doctor` judges them.
#[derive(Clone, Debug)]
pub struct ServerFacts {
    /// The version as the server writes it: `9.7.4`, `10.11.14-MariaDB-0+deb12u2`.
    pub version: String,
    /// Whether it takes writes.
    pub takes_writes: bool,
    /// How far its clock is ahead of this machine's, in milliseconds.
    pub clock_ahead_ms: i64,
    /// How wrong that may be, in milliseconds: half of the time that the question took.
    pub clock_error_ms: i64,
    /// `max_allowed_packet`, in bytes.
    pub longest_packet: u64,
    /// `binlog_format`. `None`: the binary log is off.
    pub binary_log: Option<String>,
    /// The version of TLS. `None`: the connection is not encrypted.
    pub tls: Option<String>,
    /// `None`: the database holds no tables of aka.
    pub identity: Option<Identity>,
    /// What aka may not do: a verb and a table.
    pub missing_rights: Vec<(&'static str, &'static str)>,
}
