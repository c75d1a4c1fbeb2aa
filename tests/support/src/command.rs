//! Commands of `aka`. Each has an environment and a stdin of its own.

use crate::expect::PATIENCE;
use crate::process::{kill_and_wait, pass_sockets, signal, spawn};
use crate::program::aka_program;
use rustix::process::Signal;
use std::ffi::OsStr;
use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};

/// A part of every password of the tests. [`Ended`] checks that no command prints it.
pub const SECRET: &str = "s3cr3t";

/// A command that is about to run. Its environment holds only the variables that the test sets.
pub struct Invocation {
    command: Command,
    input: Vec<u8>,
}

/// An `aka` command with these arguments.
pub fn aka<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Invocation {
    let mut command = Command::new(aka_program());
    // No folder can be made in this home, so a test that names no database fails.
    command.env_clear().env("HOME", "/dev/null").args(args);
    Invocation { command, input: Vec::new() }
}

/// `aka serve` on ports of its own.
pub fn aka_serve<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Invocation {
    aka(["serve", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]).args(args)
}

impl Invocation {
    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Passes these sockets for gRPC and operations, as a service manager does.
    pub fn on_sockets(mut self, sockets: &[TcpListener; 2]) -> Self {
        self.command.envs([("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "grpc:ops")]);
        pass_sockets(&mut self.command, sockets);
        self
    }

    /// Sets the text that the command reads on stdin.
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// Runs the command to its end.
    pub async fn run(self) -> Ended {
        let run = tokio::task::spawn_blocking(|| {
            let mut running = self.launch();
            running.wait()
        });
        run.await.expect("the command ends in time")
    }

    /// Starts the command, and waits until it serves.
    pub async fn serve(self) -> Serving {
        let serve = tokio::task::spawn_blocking(|| {
            let mut running = self.launch();
            let Ok(line) = running.first_line.recv_timeout(PATIENCE) else {
                panic!("aka does not serve: {}", running.wait());
            };
            let address = line.strip_prefix("aka: serving on ");
            Serving { address: address.expect("the line that says so").to_owned(), running }
        });
        serve.await.expect("the command serves in time")
    }

    /// Starts the command, waits for `ready`, and stops it with SIGTERM.
    pub async fn stopped_after(self, ready: impl Future<Output = ()>) -> Ended {
        let launched = tokio::task::spawn_blocking(|| self.launch()).await;
        let mut running = launched.expect("the command starts");
        ready.await;
        signal(&running.process, Signal::TERM);
        let wait = tokio::task::spawn_blocking(move || running.wait());
        wait.await.expect("it stops in time")
    }

    fn launch(self) -> Running {
        let Self { mut command, input } = self;
        let what = format!("{command:?}");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = spawn(command).expect("aka can be started");
        let mut stdin = process.stdin.take().expect("piped");
        // On a thread, because the command may have to print before it reads on. Writing fails if
        // the command ends without reading everything, which is allowed.
        thread::spawn(move || stdin.write_all(&input).ok());
        let (sender, first_line) = mpsc::channel();
        let stdout = BufReader::new(process.stdout.take().expect("piped"));
        let stdout = thread::spawn(move || {
            let mut stdout = stdout;
            let mut bytes = Vec::new();
            stdout.read_until(b'\n', &mut bytes).expect("stdout can be read");
            sender.send(String::from_utf8_lossy(&bytes).trim_end().to_owned()).ok();
            stdout.read_to_end(&mut bytes).expect("stdout can be read");
            bytes
        });
        let mut stderr = process.stderr.take().expect("piped");
        let stderr = thread::spawn(move || {
            let mut bytes = Vec::new();
            stderr.read_to_end(&mut bytes).expect("stderr can be read");
            bytes
        });
        Running { what, process, first_line, output: Some([stdout, stderr]) }
    }
}

struct Running {
    what: String,
    process: Child,
    first_line: Receiver<String>,
    /// The threads that read stdout and stderr to their ends, until they are waited for.
    output: Option<[JoinHandle<Vec<u8>>; 2]>,
}

impl Running {
    /// Waits for the end. A command that does not end in time is killed, and its test fails.
    fn wait(&mut self) -> Ended {
        let [stdout, stderr] = self.output.take().expect("it is waited for once");
        let (sender, outputs) = mpsc::channel();
        thread::spawn(move || sender.send((stdout.join(), stderr.join())).ok());
        let in_time = outputs.recv_timeout(PATIENCE);
        if in_time.is_err() {
            kill_and_wait(&mut self.process);
        }
        let hung = in_time.is_err();
        let (stdout, stderr) = in_time.or_else(|_| outputs.recv()).expect("its output ends");
        let status = self.process.wait().expect("a child");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let stdout = stdout.expect("the reading thread ends");
        let stderr = text(stderr.expect("the reading thread ends"));
        let ended = Ended { what: self.what.clone(), code: status.code(), stdout, stderr };
        assert!(!hung, "not within {PATIENCE:?}: {ended}");
        assert!(
            !ended.stderr.contains(SECRET) && !ended.text().contains(SECRET),
            "a password is shown: {ended}"
        );
        ended
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        kill_and_wait(&mut self.process);
    }
}

/// A server with an environment of its own. Dropping it kills it.
pub struct Serving {
    /// The gRPC address.
    pub address: String,
    running: Running,
}

impl Serving {
    /// Stops the server with SIGTERM, and returns its output.
    pub async fn stop(mut self) -> Ended {
        signal(&self.running.process, Signal::TERM);
        let wait = tokio::task::spawn_blocking(move || self.running.wait());
        wait.await.expect("aka stops in time")
    }
}

/// The exit code and the output of a command.
pub struct Ended {
    what: String,
    /// `None` if a signal ended it.
    pub code: Option<i32>,
    /// The bytes that it printed.
    pub stdout: Vec<u8>,
    /// The log, and the sentence of a failure.
    pub stderr: String,
}

impl Ended {
    /// Stdout as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The lines of stdout as JSON.
    #[track_caller]
    pub fn json(&self) -> Vec<serde_json::Value> {
        let text = self.text();
        let lines = text.lines().map(|line| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}: {self}"))
        });
        lines.collect()
    }

    /// Checks that it succeeded with nothing on stderr. Returns stdout.
    #[track_caller]
    pub fn succeeded(&self) -> String {
        assert!(self.code == Some(0) && self.stderr.is_empty(), "{self}");
        self.text()
    }

    /// Checks that it failed with this exit code, printed nothing on stdout, and gave the reason in
    /// one sentence that contains these parts. Lines of the log do not count.
    #[track_caller]
    pub fn failed(&self, code: i32, parts: &[&str]) {
        assert!(self.code == Some(code), "not exit code {code}: {self}");
        assert!(self.stdout.is_empty(), "{self}");
        let said: Vec<_> = self.stderr.lines().filter(|line| !line.starts_with('{')).collect();
        let [sentence] = said[..] else { panic!("not one sentence: {self}") };
        assert!(sentence.starts_with("aka: "), "{self}");
        for part in parts {
            assert!(sentence.contains(part), "it does not say {part:?}: {self}");
        }
    }

    /// Checks that the command line was refused by clap, with a message that contains this part.
    #[track_caller]
    pub fn misunderstood(&self, code: i32, part: &str) {
        assert!(self.code == Some(code), "not exit code {code}: {self}");
        assert!(self.stdout.is_empty(), "{self}");
        assert!(self.stderr.starts_with("error: ") && self.stderr.contains(part), "{self}");
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, code, stderr, .. } = self;
        write!(f, "{what} ended with {code:?}\nstdout: {}\nstderr: {stderr}", self.text())
    }
}
