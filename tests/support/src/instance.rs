//! A real `aka serve` for each test, with a client.

use crate::database::{Backend, Database};
use crate::expect::{PATIENCE, eventually};
use crate::output_lines::{Log, read_lines, tail, wait_for};
use crate::process::{kill_and_wait, limit_descriptors, pass_sockets, signal, spawn};
use crate::program::{patient_aka, plain_aka};
use aka_wire::pb::alias_admin_client::AliasAdminClient;
use aka_wire::pb::resolver_client::ResolverClient;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tonic::transport::{Channel, Endpoint};

/// The longest message that the tests' clients read.
const MAX_ANSWER: usize = 16 << 20;

/// The project of most tests.
pub const PROJECT: u64 = 7;

/// A running `aka serve`. Dropping it kills it.
pub struct Aka {
    /// The address of gRPC.
    pub grpc: SocketAddr,
    /// The address of the operations port.
    pub metrics: SocketAddr,
    channel: Channel,
    process: Mutex<Child>,
    /// Its stderr.
    log: Log,
}

/// Makes a database, and starts an `aka` that serves from it.
pub async fn start(backend: Backend) -> (Database, Aka) {
    start_with(backend, &[]).await
}

/// [`start`] with more flags.
pub async fn start_with(backend: Backend, flags: &[&str]) -> (Database, Aka) {
    let database = Database::create(backend).await;
    let aka = Aka::serve(&database, flags).await;
    (database, aka)
}

impl Aka {
    /// Starts one more `aka` on a database, and waits until it serves.
    pub async fn serve(database: &Database, flags: &[&str]) -> Self {
        Self::serve_with_env(database, flags, &[]).await
    }

    /// [`serve`](Self::serve) with environment variables.
    pub async fn serve_with_env(
        database: &Database,
        flags: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let mut command = patient_aka("serve");
        command.envs(environment.iter().copied());
        Self::start(command, database, flags).await
    }

    /// The same, in a process that may have this many descriptors: at first, and at the most.
    pub async fn serve_with_descriptors(database: &Database, (soft, hard): (u64, u64)) -> Self {
        let mut command = patient_aka("serve");
        limit_descriptors(&mut command, soft, hard);
        Self::start(command, database, &[]).await
    }

    /// The same with these sockets for gRPC and operations, passed by a service manager.
    pub async fn serve_on(
        database: &Database,
        sockets: &[TcpListener; 2],
        environment: &[(&str, &str)],
    ) -> Self {
        let mut command = patient_aka("serve");
        command.envs([("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "grpc:ops")]);
        command.envs(environment.iter().copied());
        pass_sockets(&mut command, sockets);
        Self::start(command, database, &[]).await
    }

    /// [`serve`](Self::serve) with the default timeouts, for benchmarks. Other instances have long
    /// ones.
    pub async fn serve_with_defaults(database: &Database, flags: &[&str]) -> Self {
        Self::start(plain_aka("serve"), database, flags).await
    }

    async fn start(mut command: Command, database: &Database, flags: &[&str]) -> Self {
        for listen in ["--listen", "--metrics-listen"] {
            if !flags.contains(&listen) {
                command.args([listen, "127.0.0.1:0"]);
            }
        }
        command.args(database.flags()).args(flags);
        let started = tokio::task::spawn_blocking(|| Self::launch(command)).await;
        started.expect("the launching thread ends")
    }

    fn launch(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = spawn(command).expect("aka can be started");
        let log = Log::default();
        let (stdout, stderr) = (process.stdout.take(), process.stderr.take());
        let lines = read_lines(stdout.expect("piped"), Log::default());
        let log_lines = read_lines(stderr.expect("piped"), log.clone());
        let grpc = wait_for(&lines, |line| line.strip_prefix("aka: serving on ")?.parse().ok());
        let metrics = wait_for(&log_lines, |line| {
            let event: serde_json::Value = serde_json::from_str(line).ok()?;
            if event["message"] != "serving" {
                return None;
            }
            event["metrics"].as_str()?.parse().ok()
        });
        let (Some(grpc), Some(metrics)) = (grpc, metrics) else {
            kill_and_wait(&mut process);
            panic!("aka does not serve:\n{}", tail(&log));
        };
        Self { grpc, metrics, channel: channel(grpc), process: Mutex::new(process), log }
    }

    /// Ends the process at once, as a crash would.
    pub fn kill(&self) {
        kill_and_wait(&mut self.process());
    }

    /// Freezes the process, as a suspended machine would, until it is [resumed](Self::resume).
    pub fn pause(&self) {
        let process = self.process();
        signal(&process, Signal::STOP);
        // The signal stops one thread, which stops the others. On a busy machine that takes a while.
        let stopped = WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(Pid::from_child(&process)), stopped).expect("it stops");
    }

    /// Ends [`pause`](Self::pause).
    pub fn resume(&self) {
        signal(&self.process(), Signal::CONT);
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process().id()
    }

    /// Sends the process a signal. It must not have been waited for.
    pub fn signal(&self, what: Signal) {
        signal(&self.process(), what);
    }

    /// Asks the process to stop (SIGTERM), and waits until it has ended.
    pub async fn stop(&self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended().await
    }

    /// Waits until the process has ended, after a signal.
    pub async fn ended(&self) -> ExitStatus {
        eventually("aka stops", async || self.process().try_wait().expect("a child")).await
    }

    /// The lines of the log that hold this text.
    pub fn logged(&self, text: &str) -> Vec<String> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.iter().filter(|line| line.contains(text)).cloned().collect()
    }

    fn process(&self) -> MutexGuard<'_, Child> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that all calls of this value share.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// A new connection.
    pub fn new_channel(&self) -> Channel {
        channel(self.grpc)
    }

    pub fn resolver(&self) -> ResolverClient<Channel> {
        ResolverClient::new(self.channel()).max_decoding_message_size(MAX_ANSWER)
    }

    pub fn admin(&self) -> AliasAdminClient<Channel> {
        AliasAdminClient::new(self.channel()).max_decoding_message_size(MAX_ANSWER)
    }

    /// All metrics, as Prometheus reads them.
    pub async fn scrape(&self) -> String {
        let address = self.metrics;
        let text = tokio::task::spawn_blocking(move || get(address, "/metrics")).await;
        text.expect("the request ends")
    }

    /// The value of a metric: the sum of its series that have all of these labels. A label is written
    /// `name="value"`.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let text = self.scrape().await;
        let values = text.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (found, its_labels) = series.split_once('{').unwrap_or((series, ""));
            let wanted = found == name && labels.iter().all(|label| its_labels.contains(label));
            wanted.then(|| value.parse::<f64>().expect("a number"))
        });
        let values: Vec<f64> = values.collect();
        assert!(!values.is_empty(), "there is no metric {name} {labels:?}");
        values.iter().sum()
    }

    /// How many lookup queries all shards have been sent.
    pub async fn lookup_queries(&self) -> f64 {
        self.metric("aka_lookup_queries_total", &[]).await
    }
}

impl Drop for Aka {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("The end of aka's log:\n{}", tail(&self.log));
        }
    }
}

fn channel(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).expect("an address").connect_lazy()
}

/// The body of an answer to an HTTP request.
fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the operations port is open");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out can be set");
    let request = format!("GET {path} HTTP/1.1\r\nHost: aka\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("the request can be sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the answer can be read");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    body.to_owned()
}
