//! Asks a server for all that `aka doctor` judges. Nothing is written.

use super::backend::{Backend, Driver, classify, close};
use super::claim::ClaimColumns;
use super::meta::read_identity;
use super::mysql::MySqlStore;
use super::row::SqlRow;
use super::sqlite::SqliteStore;
use super::tables::check_tables;
use super::text::Text;
use crate::store::session::in_time;
use crate::store::{Role, Server, ServerFacts, Store, StoreError};
use aka_core::domain::Identity;
use sqlx::mysql::MySqlConnection;
use std::collections::HashMap;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Not every system has all of them.
const VARIABLES: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN
    ('version', 'max_allowed_packet', 'log_bin', 'binlog_format')";

const TLS_VERSION: &str = "SHOW SESSION STATUS LIKE 'Ssl_version'";

/// What aka does to its tables. To explain a statement takes the rights that it takes itself, and
/// does nothing.
const NEEDED: [(&str, &str, &str); 15] = [
    ("SELECT", "alias", "SELECT slot FROM alias WHERE 1 = 0"),
    ("INSERT", "alias", "INSERT INTO alias SELECT * FROM alias WHERE 1 = 0"),
    ("UPDATE", "alias", "UPDATE alias SET slot = slot WHERE 1 = 0"),
    ("DELETE", "alias", "DELETE FROM alias WHERE 1 = 0"),
    ("SELECT", "canonical", "SELECT slot FROM canonical WHERE 1 = 0"),
    ("INSERT", "canonical", "INSERT INTO canonical SELECT * FROM canonical WHERE 1 = 0"),
    ("UPDATE", "canonical", "UPDATE canonical SET slot = slot WHERE 1 = 0"),
    ("DELETE", "canonical", "DELETE FROM canonical WHERE 1 = 0"),
    ("SELECT", "alias_change", "SELECT seq FROM alias_change WHERE 1 = 0"),
    ("INSERT", "alias_change", "INSERT INTO alias_change SELECT * FROM alias_change WHERE 1 = 0"),
    ("DELETE", "alias_change", "DELETE FROM alias_change WHERE 1 = 0"),
    ("SELECT", "shard_meta", "SELECT seq FROM shard_meta WHERE 1 = 0"),
    ("UPDATE", "shard_meta", "UPDATE shard_meta SET seq = seq WHERE 1 = 0"),
    ("SELECT", "shard_beat", "SELECT id FROM shard_beat WHERE 1 = 0"),
    ("UPDATE", "shard_beat", "UPDATE shard_beat SET id = id WHERE 1 = 0"),
];

impl MySqlStore {
    /// Asks one server of the shard.
    ///
    /// # Errors
    /// If it cannot be reached, or does not say what it is.
    pub async fn examine(&self, server: &Server) -> Result<ServerFacts, StoreError> {
        let (mut connection, _, claim) = self.open_one(server, Role::Read).await?;
        let address = self.shown(server);
        let facts = in_time(server, facts(&mut connection, &claim, &address)).await;
        // What it said counts, however the connection ends.
        let _ = close(connection).await;
        facts
    }
}

impl SqliteStore {
    /// The version of SQLite, and what shard the file is. It makes no file.
    ///
    /// # Errors
    /// If the file cannot be opened, or is no database.
    pub async fn examine(&self) -> Result<(String, Option<Identity>), StoreError> {
        let mut connection = self.open(false).await?;
        let address = self.address();
        let examined = async {
            check_tables(&mut connection, &address).await?;
            let identity = read_identity(&mut connection, &address).await?;
            let version = Text::new("SELECT CAST(sqlite_version() AS BLOB)");
            let rows = sorted(&address, connection.fetch_text(version).await)?;
            let version = rows.first().map(|row| sorted(&address, text(row, 0))).transpose()?;
            Ok((version.unwrap_or_default(), identity))
        };
        let examined = examined.await;
        let _ = close(connection).await;
        examined
    }
}

fn sorted<T>(address: &str, answer: Result<T, sqlx::Error>) -> Result<T, StoreError> {
    answer.map_err(|error| classify::<MySqlConnection>(address, error))
}

fn text(row: &impl SqlRow, column: usize) -> Result<String, sqlx::Error> {
    row.bytes(column).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

async fn facts(
    connection: &mut MySqlConnection,
    claim: &ClaimColumns,
    address: &str,
) -> Result<ServerFacts, StoreError> {
    let variables = sorted(address, pairs(connection, VARIABLES).await)?;
    let status = sorted(address, pairs(connection, TLS_VERSION).await)?;
    let takes_writes = sorted(address, claim.takes_writes(connection).await)?;
    let (clock_ahead_ms, clock_error_ms) = sorted(address, clock(connection).await)?;
    check_tables(connection, address).await?;
    let identity = read_identity(connection, address).await?;
    let missing_rights = match identity {
        Some(_) => sorted(address, missing_rights(connection).await)?,
        None => Vec::new(),
    };
    let variable = |name: &str| variables.get(name).map(String::as_str).unwrap_or_default();
    let has_log = matches!(variable("log_bin"), "ON" | "1");
    Ok(ServerFacts {
        version: variable("version").to_owned(),
        takes_writes,
        clock_ahead_ms,
        clock_error_ms,
        longest_packet: variable("max_allowed_packet").parse().unwrap_or_default(),
        binary_log: has_log.then(|| variable("binlog_format").to_owned()),
        tls: status.into_values().next().filter(|version| !version.is_empty()),
        identity,
        missing_rights,
    })
}

/// The rows of a SHOW statement, by their names.
async fn pairs(
    connection: &mut MySqlConnection,
    show: &'static str,
) -> Result<HashMap<String, String>, sqlx::Error> {
    let rows = connection.fetch_text(Text::new(show)).await?;
    let pair = |row| Ok((text(row, 0)?.to_ascii_lowercase(), text(row, 1)?));
    rows.iter().map(pair).collect()
}

/// How far the server's clock is ahead, and how wrong that may be, in milliseconds.
async fn clock(connection: &mut MySqlConnection) -> Result<(i64, i64), sqlx::Error> {
    let question = Text(format!("SELECT CAST({} AS SIGNED)", MySqlConnection::NOW_US));
    let (began, before) = (Instant::now(), SystemTime::now());
    let rows = connection.fetch_text(question).await?;
    let half = began.elapsed() / 2;
    let theirs = rows.first().ok_or(sqlx::Error::RowNotFound)?.int(0)?;
    let ours = (before + half).duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = |micros: u128| i64::try_from(micros / 1_000).unwrap_or(i64::MAX);
    let ahead_ms = (theirs / 1_000).saturating_sub(millis(ours.as_micros()));
    // A server rounds as well.
    Ok((ahead_ms, millis(half.as_micros()) + 1))
}

/// What aka needs to do and may not. A server that takes no writes says nothing of writing.
async fn missing_rights(
    connection: &mut MySqlConnection,
) -> Result<Vec<(&'static str, &'static str)>, sqlx::Error> {
    let mut missing = Vec::new();
    for (verb, table, statement) in NEEDED {
        let explained = connection.fetch_text(Text(format!("EXPLAIN {statement}"))).await;
        match explained {
            Ok(_) => {}
            Err(error) if is_denied(&error) => missing.push((verb, table)),
            // A table that is missing, and a server that takes no writes: others say so.
            Err(sqlx::Error::Database(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(missing)
}

/// ER_TABLEACCESS_DENIED_ERROR, ER_COLUMNACCESS_DENIED_ERROR and ER_DBACCESS_DENIED_ERROR.
fn is_denied(error: &sqlx::Error) -> bool {
    matches!(super::mysql::number(error), Some(1044 | 1142 | 1143))
}
