//! Judges what one server of a shard says of itself.

use super::diagnosis::Diagnosis;
use crate::store::{Server, ServerFacts};
use std::net::IpAddr;

/// The oldest versions that aka is tested with.
const OLDEST_MYSQL: (u32, u32) = (8, 4);
const OLDEST_MARIADB: (u32, u32) = (10, 11);

/// Below this, in bytes, a write of two long ids does not fit into a statement.
const LEAST_PACKET: u64 = 16 << 10;
/// Below this, in bytes, the statements of a large batch are split into many.
const GOOD_PACKET: u64 = 1 << 20;

/// How far clocks may be apart, in milliseconds, without a line about it. The age of a replica's
/// answer is counted by the replica's clock.
const GOOD_SKEW_MS: i64 = 500;
/// Where that makes the ages of answers wrong by more than any limit.
const BAD_SKEW_MS: i64 = 60_000;

/// The checks of one server. `what` names it. `verified`: whether its certificate is verified.
pub(super) fn judge(
    what: &str,
    server: &Server,
    verified: bool,
    facts: &ServerFacts,
) -> Vec<Diagnosis> {
    vec![
        version(&format!("{what}, version"), &facts.version),
        rights(&format!("{what}, rights"), facts),
        binary_log(&format!("{what}, binary log"), facts.binary_log.as_deref()),
        packet(&format!("{what}, max_allowed_packet"), facts.longest_packet),
        clock(&format!("{what}, clock"), facts.clock_ahead_ms, facts.clock_error_ms),
        tls(&format!("{what}, TLS"), server, verified, facts.tls.as_deref()),
    ]
}

fn version(what: &str, version: &str) -> Diagnosis {
    let mut numbers = version.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let found = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    let lower = version.to_ascii_lowercase();
    let (system, oldest) = match lower.contains("mariadb") {
        true => ("MariaDB", OLDEST_MARIADB),
        false => ("MySQL", OLDEST_MYSQL),
    };
    if lower.contains("tidb") || lower.contains("vitess") {
        return Diagnosis::warn(
            what,
            version,
            "aka is not tested with this system: try your failovers before you rely on it",
        );
    }
    match found >= oldest {
        true => Diagnosis::ok(what, format!("{system} {version}")),
        false => Diagnosis::warn(
            what,
            format!("{system} {version}"),
            format!("upgrade to {system} {}.{} or newer", oldest.0, oldest.1),
        ),
    }
}

fn rights(what: &str, facts: &ServerFacts) -> Diagnosis {
    if facts.identity.is_none() {
        return Diagnosis::ok(what, "seen once there are tables");
    }
    if facts.missing_rights.is_empty() {
        let all = match facts.takes_writes {
            true => "to read and to write",
            false => "to read; a server that takes no writes does not say more",
        };
        return Diagnosis::ok(what, all);
    }
    let missing = facts.missing_rights.iter();
    let missing: Vec<_> = missing.map(|(verb, table)| format!("{verb} on {table}")).collect();
    Diagnosis::problem(
        what,
        format!("aka may not {}", missing.join(", ")),
        "GRANT SELECT, INSERT, UPDATE, DELETE on the database to aka's user, and for aka migrate \
         also CREATE, ALTER, INDEX",
    )
}

fn binary_log(what: &str, format: Option<&str>) -> Diagnosis {
    match format {
        None => Diagnosis::ok(what, "off"),
        Some(format) if format.eq_ignore_ascii_case("statement") => Diagnosis::problem(
            what,
            "by statements, which the server refuses for aka's transactions",
            "set binlog_format=ROW",
        ),
        // At aka's isolation level a mixed log has rows too.
        Some(format) => Diagnosis::ok(what, format.to_owned()),
    }
}

fn packet(what: &str, bytes: u64) -> Diagnosis {
    let found = format!("{bytes} bytes");
    match bytes {
        bytes if bytes < LEAST_PACKET => Diagnosis::problem(
            what,
            format!("{found}: writes of long ids are refused"),
            "set max_allowed_packet to 64 MiB, and to 16 KiB at least",
        ),
        bytes if bytes < GOOD_PACKET => Diagnosis::warn(
            what,
            format!("{found}: large batches need many statements"),
            "set max_allowed_packet to 64 MiB",
        ),
        _ => Diagnosis::ok(what, found),
    }
}

fn clock(what: &str, ahead_ms: i64, error_ms: i64) -> Diagnosis {
    let direction = if ahead_ms < 0 { "behind" } else { "ahead of" };
    let apart = ahead_ms.saturating_abs();
    let found = format!("{apart} ms {direction} this machine's, give or take {error_ms} ms");
    let advice = "let NTP set the clocks of the databases and of this machine";
    match apart.saturating_sub(error_ms) {
        surely if surely > BAD_SKEW_MS => Diagnosis::problem(what, found, advice),
        surely if surely > GOOD_SKEW_MS => Diagnosis::warn(what, found, advice),
        _ => Diagnosis::ok(what, found),
    }
}

fn tls(what: &str, server: &Server, verified: bool, version: Option<&str>) -> Diagnosis {
    let advice = "write ?ssl-mode=verify_ca&ssl-ca=/path/ca.pem at the end of the shard's URL";
    match version {
        Some(version) if verified => {
            Diagnosis::ok(what, format!("{version}, and the server's certificate is verified"))
        }
        Some(version) if is_local(server) => Diagnosis::ok(what, version),
        None if is_local(server) => Diagnosis::ok(what, "none, on this machine"),
        Some(version) => Diagnosis::warn(
            what,
            format!("{version}, but whoever is in between may pretend to be the server"),
            advice,
        ),
        None => Diagnosis::warn(
            what,
            "none: whoever is in between may read and change every alias",
            advice,
        ),
    }
}

/// Whether nobody can be in between.
fn is_local(server: &Server) -> bool {
    let address = server.host.parse::<IpAddr>();
    server.port.is_none()
        || server.host == "localhost"
        || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::super::diagnosis::Grade::{self, Ok, Problem, Warn};
    use super::*;

    #[track_caller]
    fn assert_graded(found: &Diagnosis, grade: Grade) {
        assert_eq!((found.grade, found.advice.is_none()), (grade, grade == Ok), "{found:?}");
    }

    #[test]
    fn versions() {
        for (text, grade) in [
            ("9.7.4", Ok),
            ("8.4.0-log", Ok),
            ("8.0.36", Warn),
            ("10.11.14-MariaDB-0+deb12u2", Ok),
            ("10.6.1-MariaDB", Warn),
            ("8.0.11-TiDB-v8.5.0", Warn),
            ("", Warn),
        ] {
            assert_graded(&version("v", text), grade);
        }
    }

    #[test]
    fn clocks() {
        for (ahead, error, grade) in [
            (0, 1, Ok),
            (-499, 1, Ok),
            (600, 1, Warn),
            (-600, 1, Warn),
            // The answer took so long that the clocks may be equal.
            (600, 200, Ok),
            (61_000, 1, Problem),
            (i64::MIN, 1, Problem),
        ] {
            assert_graded(&clock("c", ahead, error), grade);
        }
        assert!(clock("c", -600, 1).found.starts_with("600 ms behind"));
    }

    #[test]
    fn packets_and_logs() {
        for (bytes, grade) in [(1_024, Problem), (16 << 10, Warn), (1 << 20, Ok), (64 << 20, Ok)] {
            assert_graded(&packet("p", bytes), grade);
        }
        for (format, grade) in
            [(None, Ok), (Some("ROW"), Ok), (Some("MIXED"), Ok), (Some("STATEMENT"), Problem)]
        {
            assert_graded(&binary_log("b", format), grade);
        }
    }

    #[test]
    fn encryption() {
        let server = |host: &str, port| Server { host: host.to_owned(), port };
        let (far, near) = (server("db0", Some(3306)), server("127.0.0.1", Some(3306)));
        let socket = server("localhost", None);
        for (server, verified, version, grade) in [
            (&far, true, Some("TLSv1.3"), Ok),
            (&far, false, Some("TLSv1.3"), Warn),
            (&far, false, None, Warn),
            (&near, false, None, Ok),
            (&near, false, Some("TLSv1.3"), Ok),
            (&socket, false, None, Ok),
        ] {
            assert_graded(&tls("t", server, verified, version), grade);
        }
    }
}
