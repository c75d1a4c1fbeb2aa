//! Starts a database server, and waits for its first login.

use crate::engine::Engine;
use crate::network::Namespace;
use crate::process::{exited, kill_and_wait, spawn};
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use sqlx::{ConnectOptions, Connection};
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a server may take to accept its first login, and to stop when asked to.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// One start of a server.
pub(crate) struct Launch<'a> {
    pub(crate) engine: Engine,
    pub(crate) port: u16,
    /// The server's own folder. It holds the folder `data` and the file `log`.
    pub(crate) folder: &'a Path,
    /// More options, which win over the usual ones.
    pub(crate) options: &'a [String],
    /// The network that it runs in, if that is not the machine's.
    pub(crate) network: Option<&'a Namespace>,
}

/// The name of the socket in the data folder. It is relative, because the path of a socket must be
/// short.
pub(crate) const SOCKET: &str = "server.sock";

pub(crate) struct LaunchFailure {
    pub(crate) port_taken: bool,
    pub(crate) message: String,
}

/// How the administrator logs in.
pub(crate) fn administrator(port: u16) -> MySqlConnectOptions {
    MySqlConnectOptions::new()
        .host("127.0.0.1")
        .port(port)
        .username("root")
        .ssl_mode(MySqlSslMode::Disabled)
}

pub(crate) fn data_folder(folder: &Path) -> PathBuf {
    folder.join("data")
}

/// The last lines that the server logged.
pub(crate) fn log_tail(folder: &Path) -> String {
    const LINES: usize = 40;
    let path = log_path(folder);
    let log = fs::read(&path).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let lines: Vec<&str> = log.lines().collect();
    let tail = lines[lines.len().saturating_sub(LINES)..].join("\n");
    format!("The end of {}:\n{tail}", path.display())
}

fn log_path(folder: &Path) -> PathBuf {
    folder.join("log")
}

impl Launch<'_> {
    /// Starts the server process and waits for the first login.
    pub(crate) fn run(&self) -> Result<Child, LaunchFailure> {
        let log_start =
            fs::metadata(log_path(self.folder)).map_or(0, |metadata| metadata.len() as usize);
        let mut child = spawn(self.command())
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", self.engine));
        let Err(problem) = self.wait_for_login(&mut child) else { return Ok(child) };
        kill_and_wait(&mut child);
        let log = fs::read(log_path(self.folder)).unwrap_or_default();
        let log = String::from_utf8_lossy(log.get(log_start..).unwrap_or_default());
        let log_tail = log_tail(self.folder);
        Err(LaunchFailure {
            port_taken: log.to_lowercase().contains("address already in use"),
            message: format!("{} did not start: {problem}.\n{log_tail}", self.engine),
        })
    }

    fn command(&self) -> Command {
        let data = data_folder(self.folder);
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log_path(self.folder))
            .expect("the server's log can be written");
        let program = self.engine.program();
        let mut command = match self.network {
            Some(network) => network.enter(program),
            None => Command::new(program),
        };
        command
            .arg(format!("--datadir={}", data.display()))
            .arg(format!("--port={}", self.port))
            // Its own folder: a MariaDB that starts removes the temporary tables that it finds.
            .arg(format!("--tmpdir={}", self.folder.display()))
            .arg(format!("--socket={SOCKET}"))
            .args([
                "--bind-address=127.0.0.1",
                "--pid-file=server.pid",
                "--max-connections=500",
                "--performance-schema=OFF",
                "--default-time-zone=+00:00",
                "--innodb-buffer-pool-size=128M",
                "--innodb-buffer-pool-dump-at-shutdown=OFF",
                "--innodb-buffer-pool-load-at-startup=OFF",
            ])
            .args(self.engine.options())
            .args(self.options)
            .current_dir(data)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file handle can be duplicated"))
            .stderr(log);
        if rustix::process::geteuid().is_root() {
            command.arg("--user=root");
        }
        command
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
            // This comes first: if the process has ended, another server answers on the port.
            if let Some(status) = exited(child) {
                return Err(format!("it ended with {status}"));
            }
            let problem = match tokio::time::timeout(Duration::from_secs(5), self.log_in()).await {
                Ok(Ok(data)) if data == data_folder(self.folder) => return Ok(()),
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

    /// Logs in, and asks the server for its data folder.
    async fn log_in(&self) -> Result<PathBuf, sqlx::Error> {
        let mut connection = administrator(self.port).connect().await?;
        let data: String =
            sqlx::query_scalar("SELECT CAST(@@datadir AS CHAR)").fetch_one(&mut connection).await?;
        connection.close().await?;
        // Without the slash at its end.
        Ok(Path::new(&data).components().collect())
    }
}
