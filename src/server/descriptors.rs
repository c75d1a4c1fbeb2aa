//! The file descriptors of the process, and how many of them connections may use.

use super::workers;
use crate::ops::http;
use crate::shard::ShardSettings;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors for all the rest: standard streams, listening sockets, runtimes, snapshots,
/// name lookups.
const OTHERS: usize = 40;

/// Descriptors of one SQLite connection: the file, its log, its shared memory, perhaps a journal.
const OF_SQLITE: usize = 4;
/// Descriptors of one MySQL connection: its socket, and that of a new connection which is opened
/// while the old one closes.
const OF_MYSQL: usize = 2;

/// Lets the process have as many descriptors as the system allows, and returns their number.
pub(super) fn raise() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // Some systems refuse the maximum that they name. Then the limit stays as it was.
    let limit = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::debug!(%error, "the limit of file descriptors cannot be raised");
            limit.current
        }
    };
    limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}

/// How many descriptors the process may have at the most.
pub fn hard_limit() -> usize {
    let limit = getrlimit(Resource::Nofile).maximum;
    limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}

/// How many descriptors must be kept for everything but gRPC connections.
pub fn reserved(shards: usize, sqlite: bool, settings: &ShardSettings) -> usize {
    let each = if sqlite { OF_SQLITE } else { OF_MYSQL };
    let databases = shards * settings.connections() * each;
    OTHERS + workers::descriptors() + http::CONNECTIONS + databases
}

/// How many gRPC connections are accepted. Logs a warning if they are fewer than were wanted.
pub(super) fn connections(wanted: usize, limit: usize, reserved: usize) -> usize {
    let accepted = wanted.min(limit.saturating_sub(reserved)).max(1);
    if accepted < wanted {
        tracing::warn!(
            max_connections = wanted,
            accepted,
            limit,
            reserved,
            "this process may not have enough file descriptors for max_connections, so fewer \
             connections are accepted: raise the hard limit (ulimit -Hn), or lower max_connections"
        );
    }
    accepted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_and_the_operations_port_come_first() {
        assert_eq!(connections(10_000, 65_536, 200), 10_000);
        assert_eq!(connections(10_000, 10_199, 200), 9_999);
        assert_eq!(connections(10_000, 100, 200), 1, "it must serve somebody");
        let settings = ShardSettings::default();
        let of_two = reserved(2, false, &settings) - reserved(1, false, &settings);
        assert!(of_two >= settings.lanes, "each shard has connections of its own");
    }
}
