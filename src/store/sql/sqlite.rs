//! The embedded store: one SQLite file, which is one shard that owns all slots.

use super::backend::{Backend, Driver, classify, close, driver};
use super::claim::ClaimColumns;
use super::query::Query;
use super::session::SqlSession;
use super::text::Text;
use crate::hooks;
use crate::store::{Role, Server, Session, Store, StoreError};
use aka_core::domain::Bar;
use async_trait::async_trait;
use sqlx::ConnectOptions;
use sqlx::sqlite::{
    Sqlite, SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteRow,
    SqliteSynchronous,
};
use std::{path::PathBuf, time::Duration};

driver!(Sqlite, SqliteConnection, SqliteArguments, SqliteRow);

/// The longest statement that is sent, in bytes. SQLite takes a thousand times as much.
const LONGEST: usize = 1 << 20;

/// How long the file of the write-ahead log may stay: 64 MiB.
const LOG_BYTES: &str = "67108864";

/// How many pages of 4 KiB the log holds before they are copied to the file: 16 MiB. A page that was
/// written many times meanwhile is copied once. Ids are random, so each alias changes pages of its
/// own: with SQLite's 1,000 pages, nearly every commit of 512 aliases copied all that it wrote.
const LOG_PAGES: &str = "4096";

/// The writer has 64 MiB of memory for pages. It is taken as it is needed.
const WRITER_CACHE: &str = "PRAGMA cache_size = -65536";

/// How many rows SQLite's thread may be ahead of the reader: all that a statement returns. With
/// sqlx's 50 the two threads wait for each other most of the time.
const ROWS_AHEAD: usize = 4_096;

/// A shard in a file.
pub struct SqliteStore {
    path: PathBuf,
}

impl SqliteStore {
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Whether all that was written is in the file itself.
    fn log_is_empty(&self) -> bool {
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        std::fs::metadata(log).map_or(true, |log| log.len() == 0)
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
            .pragma("wal_autocheckpoint", LOG_PAGES)
            .row_buffer_size(ROWS_AHEAD)
            .statement_cache_capacity(256)
            .disable_statement_logging();
        let address = self.address();
        let opened = options.connect().await;
        let mut connection = opened.map_err(|error| match SqliteConnection::bar(&error) {
            Some(_) => classify::<SqliteConnection>(&address, error),
            None => StoreError::Unreachable { address: address.clone(), cause: error.to_string() },
        })?;
        if let Some(pragma) = hooks::text("sqlite.pragma") {
            let done = connection.execute_text(Text(format!("PRAGMA {pragma}"))).await;
            done.map_err(|error| classify::<SqliteConnection>(&address, error))?;
        }
        Ok(connection)
    }
}

impl SqliteStore {
    fn server(&self) -> Server {
        Server { host: self.address(), port: None }
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn servers(&self) -> Vec<Server> {
        vec![self.server()]
    }

    fn sole_server(&self) -> Option<Server> {
        Some(self.server())
    }

    fn is_group(&self) -> bool {
        false
    }

    fn may_move(&self) -> bool {
        false
    }

    async fn connect(&self, _server: &Server, role: Role) -> Result<Box<dyn Session>, StoreError> {
        let mut connection = self.open(false).await?;
        if role == Role::Write {
            let done = connection.command(WRITER_CACHE).await;
            done.map_err(|error| classify::<SqliteConnection>(&self.address(), error))?;
        }
        let claim = ClaimColumns::sole();
        Ok(Box::new(SqlSession::open(connection, self.address(), LONGEST, claim).await?))
    }

    fn idle_limit(&self) -> Option<Duration> {
        None
    }

    /// Moves the write-ahead log into the file, so that the file alone is the whole database.
    /// SQLite does so when the last connection closes, but another process may have one.
    async fn finish(&self) -> Result<(), StoreError> {
        if self.log_is_empty() {
            return Ok(());
        }
        let mut connection = self.open(false).await?;
        let moved = connection.command("PRAGMA wal_checkpoint(TRUNCATE)").await;
        let closed = close(connection).await;
        let address = self.address();
        moved.and(closed).map_err(|error| classify::<SqliteConnection>(&address, error))?;
        match self.log_is_empty() {
            true => Ok(()),
            false => Err(StoreError::Busy {
                cause: "another process reads it; what was written last is in the file with \
                    -wal at the end of its name"
                    .to_owned(),
                address,
            }),
        }
    }

    fn writers(&self) -> usize {
        // SQLite has no queue for its lock. A second writer would sleep and poll.
        1
    }

    fn write_batch(&self) -> usize {
        // Ids are random. The more of them are sorted and written together, the more share a page.
        2_048
    }

    fn longest_login_pause(&self) -> Duration {
        // A file counts no logins.
        Duration::from_millis(250)
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

    // The last connection moves the write-ahead log into the file.
    const CLOSE_LIMIT: Duration = Duration::from_secs(10);

    const MIGRATION_LOCK: Option<&'static str> = None;

    // A file normally has one server.
    const TRY_LOCK: Option<&'static str> = None;

    const TUPLES: &'static str = "VALUES ";
    // SQLite has a limit of 500 for `UNION ALL`, and none for this.
    const TABLE_ROWS: [&'static str; 3] = ["VALUES (", "),(", ")"];

    // Each row goes from SQLite's thread to another one.
    const ROWS_FOUND: [&'static str; 2] =
        ["SELECT * FROM (", ") WHERE canonical_id IS NOT NULL OR pins > 0"];

    fn is_busy(error: &sqlx::Error) -> bool {
        // SQLITE_BUSY and SQLITE_LOCKED, with their extended codes.
        matches!(code(error), Some((5 | 6, _)))
    }

    fn is_goodbye(_error: &sqlx::Error) -> bool {
        false
    }

    fn bar(error: &sqlx::Error) -> Option<Bar> {
        match code(error)? {
            // SQLITE_READONLY.
            (8, _) => Some(Bar::ReadOnly),
            // SQLITE_FULL, and SQLITE_IOERR_SHMSIZE: the file beside the database cannot grow.
            (13, _) | (_, 4874) => Some(Bar::Full),
            // SQLITE_PERM, SQLITE_CANTOPEN, SQLITE_AUTH and SQLITE_NOTADB.
            (3 | 14 | 23 | 26, _) => Some(Bar::Refused),
            _ => None,
        }
    }

    fn is_rolled_back(error: &sqlx::Error) -> bool {
        // In WAL mode a commit is one last frame. If it found no room it is not there, and its
        // checksum is wrong.
        Self::is_busy(error) || matches!(Self::bar(error), Some(Bar::ReadOnly | Bar::Full))
    }

    fn columns_of(tables: &[&str]) -> String {
        let of = |table: &&str| {
            format!("SELECT '{table}' AS a, name AS b, type AS c FROM pragma_table_info('{table}')")
        };
        tables.iter().map(of).collect::<Vec<_>>().join(" UNION ALL ")
    }
}

/// The primary code of an error, and its extended code.
fn code(error: &sqlx::Error) -> Option<(u32, u32)> {
    let code: u32 = error.as_database_error()?.code()?.parse().ok()?;
    Some((code & 0xff, code))
}
