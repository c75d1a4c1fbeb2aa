//! Shards on MySQL and MariaDB.

use super::backend::{Backend, Driver, classify, close, driver};
use super::query::Query;
use super::session::SqlSession;
use super::text::Text;
use crate::store::{Role, Session, ShardUrl, Store, StoreError};
use async_trait::async_trait;
use sqlx::ConnectOptions;
use sqlx::mysql::{MySql, MySqlArguments, MySqlConnectOptions, MySqlConnection, MySqlRow};
use std::sync::Arc;
use std::time::Duration;

driver!(MySql, MySqlConnection, MySqlArguments, MySqlRow);

/// How many prepared statements a connection keeps.
const STATEMENTS: usize = 1024;

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
        Ok(Self { url, options, password, connect_timeout })
    }

    /// Opens a connection within the connect timeout.
    pub(in crate::store) async fn open(&self, role: Role) -> Result<MySqlConnection, StoreError> {
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

    async fn log_in(&self, role: Role) -> Result<MySqlConnection, StoreError> {
        let sorted = |error| classify::<MySqlConnection>(&self.url.to_string(), error);
        let mut connection = self.options().await?.connect().await.map_err(|error| {
            // `classify` would call a refused login or an unknown database a refused statement. But
            // there is no connection.
            let (address, cause) = (self.url.to_string(), error.to_string());
            StoreError::Unreachable { address, cause }
        })?;
        super::nodelay::set_on_all_sockets();
        // A writer must see everything that was committed before it locked the clock row; a reader
        // wants one snapshot. If a client vanishes while it has the clock row locked, the shard's
        // writes must not wait for long. A reader's connection may be idle for weeks: the server
        // must not abort it. The number is the greatest that every system takes.
        let settings = match role {
            Role::Read => [
                "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
                "SET SESSION autocommit = 1, wait_timeout = 2147483",
            ],
            Role::Write => [
                "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
                "SET SESSION autocommit = 1, innodb_lock_wait_timeout = 2, wait_timeout = 5",
            ],
        };
        for setting in settings {
            if let Err(error) = connection.command(setting).await {
                // The first error is the one that is reported.
                let _ = close(connection).await;
                return Err(sorted(error));
            }
        }
        Ok(connection)
    }
}

#[async_trait]
impl Store for MySqlStore {
    async fn connect(&self, role: Role) -> Result<Box<dyn Session>, StoreError> {
        let connection = self.open(role).await?;
        Ok(Box::new(SqlSession::open(connection, self.url.to_string()).await?))
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
}

/// The number that the server gave an error.
fn number(error: &sqlx::Error) -> Option<u16> {
    let error = error.as_database_error()?;
    Some(error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>()?.number())
}
