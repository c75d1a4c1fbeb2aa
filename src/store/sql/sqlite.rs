//! The embedded store: one SQLite file, which is one shard that owns all slots.

use super::backend::{Backend, driver};
use super::query::Query;
use super::session::SqlSession;
use super::text::Text;
use crate::store::{Role, Session, Store, StoreError};
use async_trait::async_trait;
use sqlx::ConnectOptions;
use sqlx::sqlite::{
    Sqlite, SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteRow,
    SqliteSynchronous,
};
use std::{path::PathBuf, time::Duration};

driver!(Sqlite, SqliteConnection, SqliteArguments, SqliteRow);

/// How long the file of the write-ahead log may stay: 64 MiB.
const LOG_BYTES: &str = "67108864";

/// A shard in a file.
pub struct SqliteStore {
    path: PathBuf,
}

impl SqliteStore {
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(in crate::store) async fn open(
        &self,
        create: bool,
    ) -> Result<SqliteConnection, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(&self.path)
            .create_if_missing(create)
            .journal_mode(SqliteJournalMode::Wal)
            // In WAL mode only FULL makes a commit as durable as the disk (P1).
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(2))
            // A reader that takes long makes the log grow. Once the log is copied back, the file
            // becomes this short again.
            .pragma("journal_size_limit", LOG_BYTES)
            .statement_cache_capacity(256)
            .disable_statement_logging();
        options.connect().await.map_err(|error| StoreError::Unreachable {
            address: self.address(),
            cause: error.to_string(),
        })
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn connect(&self, _role: Role) -> Result<Box<dyn Session>, StoreError> {
        let connection = self.open(false).await?;
        Ok(Box::new(SqlSession::open(connection, self.address()).await?))
    }

    fn writers(&self) -> usize {
        // SQLite has no queue for its lock. A second writer would sleep and poll.
        1
    }

    fn address(&self) -> String {
        self.path.display().to_string()
    }
}

impl Backend for SqliteConnection {
    const BEGIN: &'static str = "BEGIN IMMEDIATE";
    // The first read takes the snapshot.
    const BEGIN_SNAPSHOT: &'static str = "BEGIN";
    const FOR_UPDATE: &'static str = "";
    const NOW_US: &'static str = "CAST(unixepoch('subsec') * 1000000 AS INTEGER)";

    const MIGRATION_LOCK: Option<&'static str> = None;

    // A file normally has one server.
    const TRY_LOCK: Option<&'static str> = None;

    const TUPLES: &'static str = "VALUES ";
    const VALUES_ROW: &'static str = "";

    fn is_busy(error: &sqlx::Error) -> bool {
        // SQLITE_BUSY and SQLITE_LOCKED, with their extended codes.
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        let code = code.and_then(|code| code.parse::<u32>().ok());
        code.is_some_and(|code| matches!(code & 0xff, 5 | 6))
    }

    fn is_goodbye(_error: &sqlx::Error) -> bool {
        false
    }
}
