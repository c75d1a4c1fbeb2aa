//! Server processes that are started for the run and end with it.

use crate::Fault;
use aka_test_support::{kill_and_wait, spawn};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a server may take to accept a connection.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server on a loopback port. Dropping it kills it.
pub struct Server {
    process: Child,
    pub address: SocketAddr,
}

impl Server {
    /// Starts a server that prints `NAME: serving on ADDRESS`.
    pub fn that_says(mut command: Command) -> Result<Self, Fault> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = spawn(command)?;
        let mut line = String::new();
        if let Some(stdout) = process.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        match line.trim().split_once(": serving on ").map(|(_, address)| address.parse()) {
            Some(Ok(address)) => Ok(Self { process, address }),
            _ => {
                kill_and_wait(&mut process);
                Err(format!("a server did not start: it said {line:?}").into())
            }
        }
    }

    /// Starts a server that is told its port, and waits until it accepts a connection.
    pub fn on_a_port(program: &str, args: impl Fn(u16) -> Vec<String>) -> Result<Self, Fault> {
        // Free now; nobody else here takes ports at random.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut command = Command::new(program);
        command.args(args(port)).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let hint = "scripts/install-bench-servers installs it";
        let mut process =
            spawn(command).map_err(|error| format!("cannot start {program}: {error}; {hint}"))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            if Instant::now() > deadline || process.try_wait()?.is_some() {
                kill_and_wait(&mut process);
                return Err(format!("{program} does not accept connections").into());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(Self { process, address })
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        kill_and_wait(&mut self.process);
    }
}
