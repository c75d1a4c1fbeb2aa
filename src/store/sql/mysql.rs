//! Shards on MySQL and MariaDB.

use super::backend::{Backend, Driver, classify, close, driver};
use super::query::Query;
use super::row::SqlRow;
use super::session::SqlSession;
use super::tables::check_tables;
use super::text::Text;
use crate::store::{Role, Session, ShardUrl, Store, StoreError};
use aka_core::domain::Bar;
use async_trait::async_trait;
use sqlx::ConnectOptions;
use sqlx::mysql::{MySql, MySqlArguments, MySqlConnectOptions, MySqlConnection, MySqlRow};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

driver!(MySql, MySqlConnection, MySqlArguments, MySqlRow);

/// How many prepared statements a connection keeps.
const STATEMENTS: usize = 1024;

/// What the protocol adds to a statement, with room to spare, in bytes.
const FRAME: usize = 64;

/// The longest statement that is sent, in bytes, even if the server takes a longer one.
const LONGEST: usize = 8 << 20;

/// How long a connection for writes may be idle. It is well below the `wait_timeout` of such a
/// connection, so that we close it, and the server does not abort it.
const WRITER_IDLE: Duration = Duration::from_secs(3);

/// Gives the password, or says why it cannot be read. It is asked at every connect, and may block.
pub type PasswordSource = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

/// A shard on MySQL or MariaDB.
pub struct MySqlStore {
    url: ShardUrl,
    /// Certificates are in it by the names of their files, which are read at every connect.
    options: MySqlConnectOptions,
    password: Option<PasswordSource>,
    connect_timeout: Duration,
    /// Whether the tables were found to be aka's.
    tables_checked: AtomicBool,
}

impl MySqlStore {
    /// `password` is used if the URL has none.
    ///
    /// # Errors
    /// If the driver cannot read the URL; the error does not quote it.
    pub fn new(
        url: ShardUrl,
        password: Option<PasswordSource>,
        connect_timeout: Duration,
    ) -> Result<Self, StoreError> {
        let refused = |error: sqlx::Error| StoreError::Refused {
            address: url.to_string(),
            cause: error.to_string(),
        };
        let options = MySqlConnectOptions::from_url(url.expose()).map_err(refused)?;
        let password = password.filter(|_| !url.has_password());
        let options = options
            .statement_cache_capacity(STATEMENTS)
            // The statements need none of these settings. Each would cost a round trip, or change
            // what a statement means.
            .pipes_as_concat(false)
            .no_engine_substitution(false)
            .timezone(None)
            .disable_statement_logging();
        let tables_checked = AtomicBool::new(false);
        Ok(Self { url, options, password, connect_timeout, tables_checked })
    }

    /// Opens a connection within the connect timeout.
    pub(in crate::store) async fn open(&self, role: Role) -> Result<MySqlConnection, StoreError> {
        self.open_measured(role).await.map(|(connection, _)| connection)
    }

    /// The same, with the longest statement that the server takes, in bytes.
    async fn open_measured(&self, role: Role) -> Result<(MySqlConnection, usize), StoreError> {
        let limit = self.connect_timeout;
        match tokio::time::timeout(limit, self.log_in(role)).await {
            Ok(opened) => opened,
            Err(_) => Err(StoreError::TimedOut {
                address: self.url.to_string(),
                limit_ms: limit.as_millis() as u64,
            }),
        }
    }

    /// The options with the password as it is now.
    async fn options(&self) -> Result<MySqlConnectOptions, StoreError> {
        let Some(source) = self.password.clone() else { return Ok(self.options.clone()) };
        let read = tokio::task::spawn_blocking(move || source()).await;
        match read.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(password) => Ok(self.options.clone().password(&password)),
            Err(cause) => Err(StoreError::Unreachable { address: self.url.to_string(), cause }),
        }
    }

    async fn log_in(&self, role: Role) -> Result<(MySqlConnection, usize), StoreError> {
        let opened = self.options().await?.connect().await;
        let mut connection = opened.map_err(|error| not_connected(self.url.to_string(), error))?;
        super::nodelay::set_on_all_sockets();
        // A writer must see everything that was committed before it locked the clock row; a reader
        // wants one snapshot. If a client vanishes while it has the clock row locked, the shard's
        // writes must not wait for long. A reader's connection may be idle for weeks: the server
        // must not abort it. The number is the greatest that every system takes.
        let settings = match role {
            Role::Read => {
                "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ;
                 SET SESSION autocommit = 1, wait_timeout = 2147483;"
            }
            Role::Write => {
                "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;
                 SET SESSION autocommit = 1, innodb_lock_wait_timeout = 2, wait_timeout = 5;"
            }
        };
        let longest = "SELECT CAST(@@max_allowed_packet AS SIGNED)";
        let rows = connection.fetch_text(Text(format!("{settings} {longest}"))).await;
        match rows.and_then(|rows| rows.first().map_or(Ok(0), |row| row.int(0))) {
            Ok(longest) => {
                let longest = usize::try_from(longest).unwrap_or_default().saturating_sub(FRAME);
                Ok((connection, longest.min(LONGEST)))
            }
            Err(error) => {
                // The first error is the one that is reported.
                let _ = close(connection).await;
                Err(classify::<MySqlConnection>(&self.url.to_string(), error))
            }
        }
    }
}

/// Why there is no connection.
fn not_connected(address: String, error: sqlx::Error) -> StoreError {
    let cause = error.to_string();
    if let Some(bar) = MySqlConnection::bar(&error) {
        return StoreError::Barred { address, bar, cause };
    }
    // The name of the fault in rustls. There is no type of it here.
    if cause.contains("UnsupportedCertVersion") {
        let cause = format!(
            "the server's certificate is of X.509 version 1, which the TLS library does not read: \
             make one of version 3, or use ssl-mode=disabled ({cause})"
        );
        return StoreError::Unreachable { address, cause };
    }
    // `classify` would call an unknown database a refused statement. But there is no connection.
    StoreError::Unreachable { address, cause }
}

#[async_trait]
impl Store for MySqlStore {
    async fn connect(&self, role: Role) -> Result<Box<dyn Session>, StoreError> {
        let (mut connection, longest) = self.open_measured(role).await?;
        let address = self.url.to_string();
        // Once, because a table is not replaced in a running service.
        if !self.tables_checked.load(Ordering::Relaxed) {
            check_tables(&mut connection, &address).await?;
            self.tables_checked.store(true, Ordering::Relaxed);
        }
        Ok(Box::new(SqlSession::open(connection, address, longest).await?))
    }

    fn idle_limit(&self) -> Option<Duration> {
        Some(WRITER_IDLE)
    }

    /// Nothing is left to do: a commit is in the database.
    async fn finish(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn writers(&self) -> usize {
        2
    }

    fn longest_login_pause(&self) -> Duration {
        Duration::from_secs(30)
    }

    fn address(&self) -> String {
        self.url.to_string()
    }
}

impl Backend for MySqlConnection {
    const BEGIN: &'static str = "START TRANSACTION";
    const BEGIN_SNAPSHOT: &'static str = "START TRANSACTION WITH CONSISTENT SNAPSHOT";
    const FOR_UPDATE: &'static str = " FOR UPDATE";
    // UNIX_TIMESTAMP(NOW()) is an hour wrong for an hour when the server's time zone turns its
    // clocks back. The sweeper judges the age of rows by this.
    const NOW_US: &'static str =
        "TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', UTC_TIMESTAMP(6))";

    const CLOSE_LIMIT: Duration = Duration::from_secs(1);

    const MIGRATION_LOCK: Option<&'static str> = Some("SELECT GET_LOCK('aka migrate', 60)");

    const TRY_LOCK: Option<&'static str> = Some("SELECT COALESCE(GET_LOCK(?, 0), 0)");

    const TUPLES: &'static str = "";

    // MariaDB takes the standard's `VALUES (…)`. MySQL needs `ROW(…)`, and reads it from this
    // comment. MariaDB skips the comment, because its number is greater than 50700.
    const VALUES_ROW: &'static str = "/*!80019 ROW*/";

    fn is_busy(error: &sqlx::Error) -> bool {
        // ER_LOCK_WAIT_TIMEOUT and ER_LOCK_DEADLOCK.
        matches!(number(error), Some(1205 | 1213))
    }

    fn is_goodbye(error: &sqlx::Error) -> bool {
        // ER_SERVER_SHUTDOWN, ER_CONNECTION_KILLED, and ER_CLIENT_INTERACTION_TIMEOUT, which MySQL
        // sends before it closes an idle connection (since 8.0.24).
        let class_08 = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .is_some_and(|state| state.starts_with("08"));
        class_08 || matches!(number(error), Some(1053 | 1927 | 4031))
    }

    fn bar(error: &sqlx::Error) -> Option<Bar> {
        match number(error)? {
            // ER_OPTION_PREVENTS_STATEMENT, ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION,
            // ER_READ_ONLY_MODE, and ER_RUN_HOOK_ERROR, which Group Replication answers where it
            // takes no writes.
            1290 | 1792 | 1836 | 3100 => Some(Bar::ReadOnly),
            // ER_DISK_FULL, ER_RECORD_FILE_FULL, and ENOSPC as the server's own number.
            1021 | 1114 | 28 => Some(Bar::Full),
            // ER_GET_ERRNO and ER_ERROR_ON_WRITE have the system's number in their text.
            1030 | 1026 if has_enospc(&error.to_string()) => Some(Bar::Full),
            // A missing right: to the database, a table, a column, or of the server.
            1044 | 1142 | 1143 | 1227 | 1370 => Some(Bar::Refused),
            // ER_BINLOG_STMT_MODE_AND_ROW_ENGINE: InnoDB writes no statements at READ COMMITTED.
            1665 => Some(Bar::Refused),
            // The login: a wrong password (1045, 1698), a locked account, a password that has
            // expired, and a host that is blocked (1129) or not allowed (1130).
            1045 | 1129 | 1130 | 1698 | 1820 | 1862 | 3118 | 4151 => Some(Bar::Refused),
            _ => None,
        }
    }

    fn is_rolled_back(error: &sqlx::Error) -> bool {
        // A commit on a server that has turned read-only is rolled back before anything is written.
        // Group Replication's 3100 may come after the others have taken the transaction.
        Self::is_busy(error) || matches!(number(error), Some(1290 | 1792 | 1836))
    }

    fn columns_of(tables: &[&str]) -> String {
        let tables: Vec<_> = tables.iter().map(|table| format!("'{table}'")).collect();
        format!(
            "SELECT CAST(table_name AS BINARY), CAST(column_name AS BINARY),
                CAST(data_type AS BINARY)
             FROM information_schema.columns
             WHERE table_schema = DATABASE() AND table_name IN ({})",
            tables.join(", ")
        )
    }
}

/// The number that the server gave an error.
fn number(error: &sqlx::Error) -> Option<u16> {
    let error = error.as_database_error()?;
    Some(error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>()?.number())
}

/// Whether the text of an error of the server says ENOSPC. The versions write it differently.
fn has_enospc(text: &str) -> bool {
    ["error 28 ", "errno 28 ", "errno: 28 "].iter().any(|number| text.contains(number))
}
