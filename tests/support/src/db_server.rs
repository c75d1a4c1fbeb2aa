//! Real MySQL and MariaDB servers.
//!
//! Every server runs on a copy of a prepared data folder. It listens on a loopback port of its own,
//! and it ends when the test process ends. `scripts/install-test-databases` installs the servers.
//!
//! Most tests want [`shared_server`]: one server for each engine and test process, and a database
//! for each test from [`DbServer::create_database`]. A test that kills, stops or pauses its server
//! starts one of its own with [`DbServer::start`].
//!
//! Starting, stopping and killing block the calling thread (up to some seconds). A test on a
//! current-thread runtime uses `spawn_blocking` if its other tasks must go on meanwhile.

use crate::engine::{Engine, tools};
use crate::launch::{self, Launch, LaunchFailure, PATIENCE, SOCKET, administrator, data_folder};
use crate::network::{Namespace, Relay};
use crate::port::free_port;
use crate::process::{exited, kill_and_wait, signal};
use crate::server_folder::{copy_folder, process_folder};
use rustix::process::Signal;
use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How many ports a server tries if other processes take them before it.
const PORT_ATTEMPTS: u32 = 5;

/// The server of this engine that all tests of this process share, started at first use.
///
/// Do not stop, kill or pause it.
pub fn shared_server(engine: Engine) -> &'static DbServer {
    static MYSQL: OnceLock<DbServer> = OnceLock::new();
    static MARIADB: OnceLock<DbServer> = OnceLock::new();
    match engine {
        Engine::MySql => MYSQL.get_or_init(|| DbServer::start(engine)),
        Engine::MariaDb => MARIADB.get_or_init(|| DbServer::start(engine)),
    }
}

/// A running (or stopped) database server. Dropping it kills the server and removes its data.
///
/// Its administrator is `root`, without a password.
#[derive(Debug)]
pub struct DbServer {
    engine: Engine,
    port: u16,
    /// Holds `data` and `log`.
    folder: PathBuf,
    /// Options of this server's own.
    options: Vec<String>,
    process: Mutex<Option<Child>>,
    /// The network that it runs in, and its way out, if that is not the machine's.
    network: Option<(Arc<Namespace>, Relay)>,
}

impl DbServer {
    /// Starts a server with an empty data folder, and waits until it accepts a login.
    pub fn start(engine: Engine) -> DbServer {
        Self::start_with(engine, &[])
    }

    /// The same, with more options on its command line.
    pub fn start_with(engine: Engine, options: &[&str]) -> DbServer {
        let mut server = Self::new(engine, &engine.template());
        server.options = options.iter().map(|&option| option.to_owned()).collect();
        server.start_somewhere()
    }

    /// The same in a network of a test's own. It listens there on this port, and so does a relay on
    /// the machine's loopback.
    pub(crate) fn start_in(
        network: Arc<Namespace>,
        engine: Engine,
        port: u16,
        options: Vec<String>,
    ) -> DbServer {
        let mut server = Self::new(engine, &engine.template());
        let relay = Relay::start(port, server.data(), SOCKET).expect("the port is free");
        server.network = Some((network, relay));
        server.port = port;
        server.options = options;
        server.restart();
        server
    }

    /// Another server, not started yet, with a copy of this one's data. It is like a replica that no
    /// longer follows its primary. This server must not be running.
    pub fn copy(&self) -> DbServer {
        assert!(self.process().is_none(), "the data of a running server cannot be copied");
        let mut copy = Self::new(self.engine, &self.data());
        copy.port = free_port();
        copy.options.clone_from(&self.options);
        copy
    }

    /// The same with options of its own.
    pub fn copy_with(&self, options: &[&str]) -> DbServer {
        let mut copy = self.copy();
        copy.options = options.iter().map(|&option| option.to_owned()).collect();
        copy
    }

    /// A server that is not started yet, with a copy of this data.
    fn new(engine: Engine, data: &Path) -> DbServer {
        assert!(
            engine.program().is_file() && engine.template().is_dir(),
            "The {engine} server for the tests is not installed in {}: run `make test`, or \
             `scripts/install-test-databases` once before `cargo test`.",
            tools().display(),
        );

        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = process_folder().join(format!("{engine}-{number}"));
        fs::create_dir(&folder)
            .and_then(|()| copy_folder(data, &folder.join("data")))
            .unwrap_or_else(|error| {
                panic!("cannot copy {engine}'s data folder to {}: {error}", folder.display())
            });

        // Each server makes itself an id. The servers of a group must not have the same.
        fs::remove_file(folder.join("data").join("auto.cnf")).ok();
        let process = Mutex::new(None);
        DbServer { engine, port: 0, folder, options: Vec::new(), process, network: None }
    }

    fn start_somewhere(mut self) -> DbServer {
        for attempt in 1.. {
            self.port = free_port();
            match self.launch() {
                Ok(()) => break,
                Err(failure) if failure.port_taken && attempt < PORT_ATTEMPTS => {}
                Err(failure) => panic!("{}", failure.message),
            }
        }
        self
    }

    /// The kind of the server.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// The loopback port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id of the server, or `None` if it is stopped. The start script replaces itself
    /// with the server, so this is the id of the server and not of the script.
    pub fn pid(&self) -> Option<u32> {
        self.process().as_ref().map(Child::id)
    }

    /// The URL of a database, with which the administrator logs in.
    ///
    /// A user with a password can log in to MySQL only over TLS (sqlx's default, where the server
    /// offers it), unless sqlx has its feature `mysql-rsa`.
    pub fn url(&self, database: &str) -> String {
        format!("mysql://root@127.0.0.1:{}/{database}", self.port)
    }

    /// The certificate of the authority that signed the server's own. Only MySQL has one.
    pub fn ca_certificate(&self) -> PathBuf {
        self.data().join("ca.pem")
    }

    /// Creates an empty database with a name that nothing else in this process uses.
    pub async fn create_database(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.execute(&format!("CREATE DATABASE {name} CHARACTER SET utf8mb4")).await;
        name
    }

    /// Runs statements as the administrator, with no database selected.
    pub async fn execute(&self, sql: &str) {
        let mut connection = self.connect().await;
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap_or_else(|error| {
            panic!("{} does not accept {sql}: {error}\n{}", self.engine, self.log_tail())
        });
        connection.close().await.ok();
    }

    /// A new connection as the administrator, with no database selected.
    pub async fn connect(&self) -> MySqlConnection {
        self.try_connect()
            .await
            .unwrap_or_else(|error| panic!("cannot log in to {}: {error}", self.engine))
    }

    /// The same to a server that may not answer.
    pub async fn try_connect(&self) -> Result<MySqlConnection, sqlx::Error> {
        administrator(self.port).connect().await
    }

    /// Ends the server at once, as a crash would (SIGKILL). No effect on a stopped server.
    pub fn kill(&self) {
        if let Some(mut child) = self.process().take() {
            kill_and_wait(&mut child);
        }
    }

    /// Shuts the server down in order (SIGTERM), and waits until it has ended. No effect on a
    /// stopped server. MySQL takes two to three seconds for it when clients are connected.
    pub fn stop(&self) {
        let Some(mut child) = self.process().take() else {
            return;
        };
        signal(&child, Signal::TERM);
        // A paused server cannot act on the signal.
        signal(&child, Signal::CONT);
        let deadline = Instant::now() + PATIENCE;
        while exited(&mut child).is_none() {
            if Instant::now() > deadline {
                kill_and_wait(&mut child);
                panic!(
                    "{} did not stop within {PATIENCE:?}.\n{}",
                    self.engine,
                    launch::log_tail(&self.folder)
                );
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Starts the server again, with the same data and port, and waits until it accepts a login.
    /// A server that still runs is stopped first.
    pub fn restart(&self) {
        self.stop();
        for attempt in 1.. {
            match self.launch() {
                Ok(()) => break,
                Err(failure) if failure.port_taken && attempt < PORT_ATTEMPTS => {
                    thread::sleep(Duration::from_millis(500));
                }
                Err(failure) => panic!("{}", failure.message),
            }
        }
    }

    /// Freezes the server (SIGSTOP): its connections stay open, and nothing answers.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Ends [`DbServer::pause`].
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// The last lines that it logged.
    pub(crate) fn log_tail(&self) -> String {
        launch::log_tail(&self.folder)
    }

    fn data(&self) -> PathBuf {
        data_folder(&self.folder)
    }

    fn process(&self) -> MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn launch(&self) -> Result<(), LaunchFailure> {
        let (folder, options) = (&self.folder, &self.options);
        let network = self.network.as_ref().map(|(network, _)| &**network);
        let launch = Launch { engine: self.engine, port: self.port, folder, options, network };
        *self.process() = Some(launch.run()?);
        Ok(())
    }

    fn signal(&self, what: Signal) {
        match self.process().as_ref() {
            Some(child) => signal(child, what),
            None => panic!("{} is not running", self.engine),
        }
    }
}

impl Drop for DbServer {
    fn drop(&mut self) {
        self.kill();
        fs::remove_dir_all(&self.folder).ok();
    }
}
