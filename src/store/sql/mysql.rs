//! Shards on MySQL and MariaDB.

use super::backend::{Backend, Driver, classify, close, driver};
use super::claim::ClaimColumns;
use super::query::Query;
use super::row::SqlRow;
use super::session::SqlSession;
use super::tables::check_tables;
use super::text::Text;
use crate::store::identity::GROUPS_SCHEMA;
use crate::store::session::in_time;
use crate::store::{Role, Server, Session, ShardUrl, Store, StoreError};
use aka_core::domain::Bar;
use async_trait::async_trait;
use sqlx::ConnectOptions;
use sqlx::mysql::{MySql, MySqlArguments, MySqlConnectOptions, MySqlConnection, MySqlRow};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
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

/// The variables of which one is on where a server takes no writes. Not every system has all of
/// them: `innodb_read_only` says it on Aurora, and MariaDB has no `super_read_only`.
const READ_ONLY: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN
    ('read_only', 'super_read_only', 'innodb_read_only')";

/// A connection, the longest statement that its server takes, in bytes, and how it says what the
/// server is.
type Opened = (MySqlConnection, usize, ClaimColumns);

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
    /// Whether several servers were named or found.
    is_group: AtomicBool,
    /// Which of the variables of [`READ_ONLY`] the servers have. Asked once.
    read_only: OnceLock<Vec<String>>,
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
        let is_group = AtomicBool::new(url.servers().len() > 1);
        let read_only = OnceLock::new();
        Ok(Self { url, options, password, connect_timeout, tables_checked, is_group, read_only })
    }

    /// Opens a connection to the server that takes writes, or to the only server. Each server is
    /// asked within the connect timeout.
    pub(in crate::store) async fn open(&self, role: Role) -> Result<MySqlConnection, StoreError> {
        let (mut refused, servers) = (None, self.servers().await);
        for server in &servers {
            let opened = self.open_one(server, role).await;
            let (mut connection, _, columns) = match opened {
                Ok(opened) => opened,
                Err(error) => {
                    refused = Some(error);
                    continue;
                }
            };
            if servers.len() == 1 {
                return Ok(connection);
            }
            let asked = async {
                let answer = columns.takes_writes(&mut connection).await;
                answer.map_err(|error| classify::<MySqlConnection>(&server.to_string(), error))
            };
            match in_time(server, asked).await {
                Ok(true) => return Ok(connection),
                // A replica is no error of its own: the primary may be the one that failed.
                Ok(false) => {}
                Err(error) => refused = Some(error),
            }
            // The connection is given up, so it does not matter how it ends.
            let _ = close(connection).await;
        }
        Err(refused.unwrap_or_else(|| StoreError::no_primary(self.url.to_string())))
    }

    /// Opens a connection to a server within the connect timeout.
    pub(super) async fn open_one(&self, server: &Server, role: Role) -> Result<Opened, StoreError> {
        let limit = self.connect_timeout;
        match tokio::time::timeout(limit, self.log_in(server, role)).await {
            Ok(opened) => opened,
            Err(_) => Err(StoreError::TimedOut {
                address: self.shown(server),
                limit_ms: limit.as_millis() as u64,
            }),
        }
    }

    /// Why there is no connection.
    fn not_connected(&self, server: &Server, error: sqlx::Error) -> StoreError {
        let (address, cause) = (self.shown(server), error.to_string());
        if let Some(bar) = MySqlConnection::bar(&error) {
            return StoreError::Barred { address, bar, cause };
        }
        // The name of the fault in rustls. There is no type of it here.
        if cause.contains("UnsupportedCertVersion") {
            let cause = format!(
                "the server's certificate is of X.509 version 1, which the TLS library does not \
                 read: make one of version 3, or use ssl-mode=disabled ({cause})"
            );
            return StoreError::NotConnected { address, cause };
        }
        let may_heal = match &error {
            sqlx::Error::Database(_) => MySqlConnection::is_goodbye(&error),
            sqlx::Error::Tls(_) | sqlx::Error::Configuration(_) => false,
            sqlx::Error::Io(error) => match error.kind() {
                // The TLS library's errors.
                ErrorKind::InvalidData => false,
                // A certificate's file is not there. A socket comes with its server.
                ErrorKind::NotFound => self.has_parameter("socket"),
                _ => true,
            },
            _ => true,
        };
        // `classify` would call an unknown database a refused statement. But there is no connection.
        match may_heal {
            true => StoreError::Unreachable { address, cause },
            false => StoreError::NotConnected { address, cause },
        }
    }

    fn has_parameter(&self, name: &str) -> bool {
        self.url.expose().query_pairs().any(|(its_name, _)| its_name == name)
    }

    /// How a server is named in logs and messages.
    pub(super) fn shown(&self, server: &Server) -> String {
        match self.is_group() {
            true => server.to_string(),
            false => self.url.to_string(),
        }
    }

    /// The addresses of a name. A name that cannot be resolved stays as it is, and so does every
    /// name if the server's certificate must bear it.
    async fn resolve(&self, server: &Server, found: &mut Vec<Server>) {
        let mut parameters = self.url.expose().query_pairs();
        let verifies = parameters.any(|(name, value)| {
            name == "ssl-mode" && value.eq_ignore_ascii_case("verify_identity")
        });
        let by_name = verifies || self.has_parameter("socket");
        let port = server.port.unwrap_or_default();
        let look_up = tokio::net::lookup_host((server.host.as_str(), port));
        let addresses: Vec<SocketAddr> = match by_name {
            true => Vec::new(),
            // A name that is not found in time stays as it is.
            false => match tokio::time::timeout(self.connect_timeout, look_up).await {
                Ok(Ok(found)) => found.collect(),
                Ok(Err(_)) | Err(_) => Vec::new(),
            },
        };
        // `localhost` is often one server at an address of each family.
        let first = addresses.first().map(SocketAddr::is_ipv4);
        let addresses: Vec<_> =
            addresses.into_iter().filter(|it| Some(it.is_ipv4()) == first).collect();
        if addresses.len() < 2 {
            return found.push(server.clone());
        }
        for address in addresses {
            let server = Server { host: address.ip().to_string(), port: server.port };
            if !found.contains(&server) {
                found.push(server);
            }
        }
    }

    /// Which variables say that the server takes no writes.
    async fn read_only(&self, connection: &mut MySqlConnection) -> Result<&[String], sqlx::Error> {
        if let Some(known) = self.read_only.get() {
            return Ok(known);
        }
        let rows = connection.fetch_text(Text(READ_ONLY.to_owned())).await?;
        let names = rows.iter().map(|row| row.bytes(0));
        let names: Result<Vec<_>, _> = names.collect();
        let names = names?.into_iter().map(|name| String::from_utf8_lossy(&name).into_owned());
        Ok(self.read_only.get_or_init(|| names.collect()))
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

    async fn log_in(&self, server: &Server, role: Role) -> Result<Opened, StoreError> {
        let mut options = self.options().await?.host(&server.host);
        if let Some(port) = server.port {
            options = options.port(port);
        }
        let opened = options.connect().await;
        let mut connection = opened.map_err(|error| self.not_connected(server, error))?;
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
        let longest = rows.and_then(|rows| rows.first().map_or(Ok(0), |row| row.int(0)));
        let read_only = match &longest {
            Ok(_) => self.read_only(&mut connection).await.map(<[String]>::to_vec),
            Err(_) => Ok(Vec::new()),
        };
        match longest.and_then(|longest| Ok((longest, read_only?))) {
            Ok((longest, read_only)) => {
                let longest = usize::try_from(longest).unwrap_or_default().saturating_sub(FRAME);
                let claim = ClaimColumns::of_server(&read_only, self.is_group());
                Ok((connection, longest.min(LONGEST), claim))
            }
            Err(error) => {
                // The first error is the one that is reported.
                let _ = close(connection).await;
                Err(classify::<MySqlConnection>(&self.shown(server), error))
            }
        }
    }
}

#[async_trait]
impl Store for MySqlStore {
    async fn servers(&self) -> Vec<Server> {
        let mut found = Vec::new();
        for server in self.url.servers() {
            self.resolve(server, &mut found).await;
        }
        if found.len() > 1 {
            self.is_group.store(true, Ordering::Relaxed);
        }
        found
    }

    fn sole_server(&self) -> Option<Server> {
        self.url.servers().first().filter(|_| !self.is_group()).cloned()
    }

    fn is_group(&self) -> bool {
        self.is_group.load(Ordering::Relaxed)
    }

    fn may_move(&self) -> bool {
        true
    }

    async fn connect(&self, server: &Server, role: Role) -> Result<Box<dyn Session>, StoreError> {
        let (mut connection, longest, claim) = self.open_one(server, role).await?;
        let address = self.shown(server);
        // Once, because a table is not replaced in a running service.
        if !self.tables_checked.load(Ordering::Relaxed) {
            check_tables(&mut connection, &address).await?;
            self.tables_checked.store(true, Ordering::Relaxed);
        }
        let session = Box::new(SqlSession::open(connection, address, longest, claim).await?);
        let version = session.identity().schema_version;
        if self.is_group() && version < GROUPS_SCHEMA {
            session.close().await;
            return Err(StoreError::WrongShard(format!(
                "{} names several servers, which needs tables of version {GROUPS_SCHEMA}, but has \
                 version {version}: run `aka migrate` with the same shards",
                self.url
            )));
        }
        Ok(session)
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

    fn write_batch(&self) -> usize {
        512
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

    // MySQL wants `VALUES ROW(…)`, MariaDB `VALUES (…)`, and TiDB takes neither here. All take this.
    const TABLE_ROWS: [&'static str; 3] = ["SELECT ", " UNION ALL SELECT ", ""];
    // Leaving a key out would cost another lookup of each.
    const ROWS_FOUND: [&'static str; 2] = ["", ""];

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
pub(super) fn number(error: &sqlx::Error) -> Option<u16> {
    let error = error.as_database_error()?;
    Some(error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>()?.number())
}

/// Whether the text of an error of the server says ENOSPC. The versions write it differently.
fn has_enospc(text: &str) -> bool {
    ["error 28 ", "errno 28 ", "errno: 28 "].iter().any(|number| text.contains(number))
}
