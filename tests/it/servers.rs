//! Real MySQL and MariaDB servers for the tests.
//!
//! Every server runs on a copy of a prepared data folder, listens on a loopback port of its own
//! and dies with the test process, however that ends. The servers themselves are made available
//! by `scripts/install-test-databases`.
//!
//! [`shared`] is what most tests want: one server per engine and test process, and a database per
//! test from [`DbServer::create_database`]. A test that kills, stops or pauses its server starts
//! one of its own with [`DbServer::start`].
//!
//! Starting, stopping and killing block the calling thread (up to some seconds). A test on a
//! current-thread runtime whose other tasks must go on meanwhile uses `spawn_blocking`.
#![allow(dead_code, reason = "a toolbox: not every test program uses all of it")]

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

/// How long a server may take to accept its first login, and to stop when asked to.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many ports a starting server tries when something else takes them first.
const PORT_ATTEMPTS: u32 = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    MySql,
    MariaDb,
}

impl Engine {
    pub const ALL: [Engine; 2] = [Engine::MySql, Engine::MariaDb];

    fn program(self) -> PathBuf {
        tools().join("bin").join(match self {
            Engine::MySql => "mysqld",
            Engine::MariaDb => "mariadbd",
        })
    }

    fn template(self) -> PathBuf {
        tools().join(match self {
            Engine::MySql => "template-mysql",
            Engine::MariaDb => "template-mariadb",
        })
    }

    fn options(self) -> &'static [&'static str] {
        match self {
            // The redo log of the template is as small as it can be; this lets it grow.
            Engine::MySql => &["--skip-log-bin", "--innodb-redo-log-capacity=64M"],
            // As in the template: another size would have the server rebuild the log at start.
            Engine::MariaDb => &["--innodb-log-file-size=16M"],
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Engine::MySql => "MySQL",
            Engine::MariaDb => "MariaDB",
        })
    }
}

/// The server of this engine that all tests of this process share, started at first use.
///
/// Do not stop, kill or pause it.
pub fn shared(engine: Engine) -> &'static DbServer {
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
    process: Mutex<Option<Child>>,
}

impl DbServer {
    /// Starts a server with an empty data folder, and waits until it accepts a login.
    pub fn start(engine: Engine) -> DbServer {
        let server = Self::new(engine, &engine.template());
        server.start_somewhere()
    }

    /// Another server, not started yet, with a copy of this one's data, as they are on the disk: what
    /// a replica is that has stopped to follow. This one must not run.
    pub fn copy(&self) -> DbServer {
        assert!(self.process().is_none(), "the data of a running server cannot be copied");
        let mut copy = Self::new(self.engine, &self.data());
        copy.port = free_port();
        copy
    }

    /// A server that has not been started yet, with a copy of this data.
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

        DbServer { engine, port: 0, folder, process: Mutex::new(None) }
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

    pub fn engine(&self) -> Engine {
        self.engine
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Of the server itself: what starts it makes way for it. None if it is stopped.
    pub fn pid(&self) -> Option<u32> {
        self.process().as_ref().map(Child::id)
    }

    /// Where the database is, as its administrator sees it.
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
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut connection)
            .await
            .unwrap_or_else(|error| panic!("{} does not accept {sql}: {error}", self.engine));
        connection.close().await.ok();
    }

    /// A new connection as the administrator, with no database selected.
    pub async fn connect(&self) -> MySqlConnection {
        self.connect_options()
            .connect()
            .await
            .unwrap_or_else(|error| panic!("cannot log in to {}: {error}", self.engine))
    }

    fn connect_options(&self) -> MySqlConnectOptions {
        MySqlConnectOptions::new()
            .host("127.0.0.1")
            .port(self.port)
            .username("root")
            .ssl_mode(MySqlSslMode::Disabled)
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
        // A paused server would not see it.
        signal(&child, Signal::CONT);
        let deadline = Instant::now() + PATIENCE;
        while exited(&mut child).is_none() {
            if Instant::now() > deadline {
                kill_and_wait(&mut child);
                panic!("{} did not stop within {PATIENCE:?}.\n{}", self.engine, self.log_tail());
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

    /// The last lines the server logged.
    pub fn log_tail(&self) -> String {
        const LINES: usize = 40;
        let path = self.log();
        let log = fs::read(&path).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(LINES)..].join("\n");
        format!("The end of {}:\n{tail}", path.display())
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    fn process(&self) -> MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn signal(&self, what: Signal) {
        match self.process().as_ref() {
            Some(child) => signal(child, what),
            None => panic!("{} is not running", self.engine),
        }
    }

    /// Starts the server process and waits for the first login.
    fn launch(&self) -> Result<(), LaunchFailure> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log())
            .expect("the server's log can be written");
        let log_start = log.metadata().map_or(0, |metadata| metadata.len() as usize);

        let mut command = Command::new(self.engine.program());
        command
            .arg(format!("--datadir={}", self.data().display()))
            .arg(format!("--port={}", self.port))
            // Its own: a MariaDB that starts removes what it takes for left-over temporary tables.
            .arg(format!("--tmpdir={}", self.folder.display()))
            .args([
                "--bind-address=127.0.0.1",
                // Both relative to the data folder: the path of a socket may not be long.
                "--socket=server.sock",
                "--pid-file=server.pid",
                "--max-connections=500",
                "--performance-schema=OFF",
                "--default-time-zone=+00:00",
                "--innodb-buffer-pool-size=128M",
                "--innodb-buffer-pool-dump-at-shutdown=OFF",
                "--innodb-buffer-pool-load-at-startup=OFF",
            ])
            .args(self.engine.options())
            .current_dir(self.data())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file handle can be duplicated"))
            .stderr(log);
        if rustix::process::geteuid().is_root() {
            command.arg("--user=root");
        }

        let mut child =
            spawn(command).unwrap_or_else(|error| panic!("cannot start {}: {error}", self.engine));
        let Err(problem) = self.wait_for_login(&mut child) else {
            *self.process() = Some(child);
            return Ok(());
        };
        kill_and_wait(&mut child);
        let log = fs::read(self.log()).unwrap_or_default();
        let log = String::from_utf8_lossy(log.get(log_start..).unwrap_or_default());
        Err(LaunchFailure {
            port_taken: log.to_lowercase().contains("address already in use"),
            message: format!("{} did not start: {problem}.\n{}", self.engine, self.log_tail()),
        })
    }

    fn wait_for_login(&self, child: &mut Child) -> Result<(), String> {
        // On a thread with a runtime of its own, as the caller may be inside one.
        thread::scope(|scope| {
            scope
                .spawn(|| {
                    tokio::runtime::Builder::new_current_thread()
                        .enable_all()
                        .build()
                        .expect("a runtime can be built")
                        .block_on(self.poll_for_login(child))
                })
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    async fn poll_for_login(&self, child: &mut Child) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // First of all: if it is gone, whatever answers on the port is another server.
            if let Some(status) = exited(child) {
                return Err(format!("it ended with {status}"));
            }
            let problem = match tokio::time::timeout(Duration::from_secs(5), self.log_in()).await {
                Ok(Ok(data)) if data == self.data() => return Ok(()),
                Ok(Ok(_)) => "another server answers on its port".to_owned(),
                Ok(Err(error)) => error.to_string(),
                Err(_) => "it does not answer".to_owned(),
            };
            if Instant::now() > deadline {
                return Err(format!("no login within {PATIENCE:?}: {problem}"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Logs in, and asks the server what its data folder is.
    async fn log_in(&self) -> Result<PathBuf, sqlx::Error> {
        let mut connection = self.connect_options().connect().await?;
        let data: String =
            sqlx::query_scalar("SELECT CAST(@@datadir AS CHAR)").fetch_one(&mut connection).await?;
        connection.close().await?;
        // Without the slash it ends with.
        Ok(Path::new(&data).components().collect())
    }
}

impl Drop for DbServer {
    fn drop(&mut self) {
        self.kill();
        fs::remove_dir_all(&self.folder).ok();
    }
}

struct LaunchFailure {
    port_taken: bool,
    message: String,
}

/// Where `scripts/install-test-databases` puts things.
fn tools() -> &'static Path {
    static TOOLS: OnceLock<PathBuf> = OnceLock::new();
    TOOLS.get_or_init(|| {
        let folder = std::env::var_os("AKA_TEST_TOOLS").filter(|folder| !folder.is_empty());
        // Absolute, as the servers run in folders of their own.
        Path::new(env!("CARGO_MANIFEST_DIR")).join(folder.unwrap_or(".test-tools".into()))
    })
}

/// The folder of this process for its servers, made at first use. Folders of processes that have
/// ended are removed on the way: those of the shared servers are always left behind, as statics
/// are not dropped.
fn process_folder() -> &'static Path {
    /// The folder, and the lock that says that its process lives.
    static FOLDER: OnceLock<(PathBuf, File)> = OnceLock::new();
    let make = || -> io::Result<(PathBuf, File)> {
        let parent = Path::new(env!("CARGO_TARGET_TMPDIR")).join("servers");
        fs::create_dir_all(&parent)?;
        // The servers see it without symbolic links, and say so.
        let parent = parent.canonicalize()?;

        // Held for as long as this takes, so that nobody takes the new folder for a stale one
        // before its lock is.
        let everyone = File::create(parent.join("lock"))?;
        everyone.lock()?;

        for entry in fs::read_dir(&parent)? {
            let path = entry?.path();
            if path.is_dir() && !File::open(path.join("lock")).is_ok_and(|lock| in_use(&lock)) {
                fs::remove_dir_all(&path).ok();
            }
        }

        let folder = (0..)
            .map(|number| parent.join(format!("{}-{number}", std::process::id())))
            .find(|folder| !folder.exists())
            .expect("there is always another number");
        fs::create_dir(&folder)?;
        let alive = File::create(folder.join("lock"))?;
        alive.lock()?;
        Ok((folder, alive))
    };
    let (folder, _) = FOLDER.get_or_init(|| {
        make().unwrap_or_else(|error| panic!("cannot make a folder for test servers: {error}"))
    });
    folder
}

/// Whether a living process holds this lock.
fn in_use(lock: &File) -> bool {
    lock.try_lock().is_err()
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else if kind.is_file() {
            // Not a socket, which a server that was killed leaves behind.
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// A loopback port on which nothing listens now. From below the range that systems give to
/// outgoing connections, so that it is still free when the server is restarted.
pub fn free_port() -> u16 {
    const FIRST: u32 = 15_000;
    const COUNT: u32 = 15_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..COUNT {
        // Processes that start together begin far from each other.
        let start = std::process::id().wrapping_mul(7919);
        let offset = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let port = u16::try_from(FIRST + offset).expect("the range ends below 65536");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("every port from {FIRST} to {} is in use", FIRST + COUNT - 1);
}

/// Starts a process that is killed when this one ends, however that happens.
pub fn spawn(mut command: Command) -> io::Result<Child> {
    // The kernel does that when the *thread* that started the process ends, so all processes are
    // started by one thread that never does.
    type Job = (Command, mpsc::Sender<io::Result<Child>>);
    static SPAWNER: OnceLock<mpsc::Sender<Job>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (jobs, queue) = mpsc::channel::<Job>();
        thread::Builder::new()
            .name("server-spawner".to_owned())
            .spawn(move || {
                for (mut command, reply) in queue {
                    reply.send(command.spawn()).ok();
                }
            })
            .expect("a thread can be started");
        jobs
    });

    let parent = Pid::from_raw(std::process::id().cast_signed());
    let die_with_parent = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // It may have ended before that.
        if rustix::process::getppid() == parent { Ok(()) } else { Err(io::ErrorKind::Other.into()) }
    };
    // SAFETY: between fork and exec the closure makes two system calls, and nothing else: it
    // takes no lock and allocates nothing.
    #[allow(unsafe_code, reason = "what runs between fork and exec has no safe form")]
    unsafe {
        command.pre_exec(die_with_parent);
    }

    let (reply, answer) = mpsc::channel();
    spawner.send((command, reply)).expect("the spawner thread lives");
    answer.recv().expect("the spawner thread answers")
}

fn exited(child: &mut Child) -> Option<ExitStatus> {
    child.try_wait().expect("the server is a child of this process")
}

/// Only for a child that has not been waited for: its pid is not another's yet.
pub fn signal(child: &Child, what: Signal) {
    // Fails only if the server has ended by itself, which the test will notice.
    kill_process(Pid::from_child(child), what).ok();
}

pub fn kill_and_wait(child: &mut Child) {
    child.kill().ok();
    child.wait().ok();
}
