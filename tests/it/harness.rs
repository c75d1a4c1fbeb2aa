//! A real `aka serve` for each test, and what a client of it needs.

use crate::database::{Backend, Database};
use crate::servers::{kill_and_wait, signal, spawn};
use aka_wire::pb;
use aka_wire::pb::alias_admin_client::AliasAdminClient;
use aka_wire::pb::resolver_client::ResolverClient;
use bytes::Bytes;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// How long anything may take that must happen, on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The longest message that the tests' clients read.
const MAX_ANSWER: usize = 16 << 20;

/// The tenant of most tests.
pub const PROJECT: u64 = 7;

/// A running `aka serve`. Dropping it kills it.
pub struct Aka {
    pub grpc: SocketAddr,
    pub metrics: SocketAddr,
    channel: Channel,
    process: Mutex<Child>,
    log: Log,
}

/// The last lines of the process's stderr.
type Log = Arc<Mutex<Vec<String>>>;

/// A fresh database, and an `aka` that serves from it.
pub async fn start(backend: Backend) -> (Database, Aka) {
    start_with(backend, &[]).await
}

/// The same, with more flags.
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

    /// The same, with environment variables.
    pub async fn serve_with_env(
        database: &Database,
        flags: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let mut command = aka_command("serve");
        command.envs(environment.iter().copied());
        command.args(["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]);
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
        // The signal stops one thread, which stops the others: on a busy machine that takes a while.
        let stopped = WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(Pid::from_child(&process)), stopped).expect("it stops");
    }

    pub fn resume(&self) {
        signal(&self.process(), Signal::CONT);
    }

    pub fn pid(&self) -> u32 {
        self.process().id()
    }

    /// Sends the process a signal. It must not have been waited for.
    pub fn signal(&self, what: Signal) {
        signal(&self.process(), what);
    }

    /// Asks the process to stop, and waits until it has.
    pub async fn stop(&self) -> ExitStatus {
        self.signal(Signal::TERM);
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

    /// The connection that the helpers below share.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// A connection of its own.
    pub fn new_channel(&self) -> Channel {
        channel(self.grpc)
    }

    pub fn resolver(&self) -> ResolverClient<Channel> {
        ResolverClient::new(self.channel()).max_decoding_message_size(MAX_ANSWER)
    }

    pub fn admin(&self) -> AliasAdminClient<Channel> {
        AliasAdminClient::new(self.channel()).max_decoding_message_size(MAX_ANSWER)
    }

    /// The sum of the series of a metric that have all of these labels, written `name="value"`.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let address = self.metrics;
        let text = tokio::task::spawn_blocking(move || get(address, "/metrics")).await;
        let text = text.expect("the request ends");
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

    pub async fn lookup_queries(&self) -> f64 {
        self.metric("aka_lookup_queries_total", &[]).await
    }
}

/// The calls of the contract, in short. Ids are anything that has bytes.
impl Aka {
    pub async fn resolve(&self, project: u64, id: impl AsRef<[u8]>) -> Result<Resolved, Status> {
        self.resolve_as_of(project, id, "").await
    }

    pub async fn resolve_as_of(
        &self,
        project: u64,
        id: impl AsRef<[u8]>,
        token: &str,
    ) -> Result<Resolved, Status> {
        let request = pb::ResolveRequest {
            project_id: project,
            distinct_id: bytes(id),
            consistency_token: token.to_owned(),
        };
        self.resolver().resolve(request).await.map(tonic::Response::into_inner)
    }

    pub async fn batch_resolve<I: AsRef<[u8]>>(
        &self,
        project: u64,
        ids: impl IntoIterator<Item = I>,
    ) -> Result<pb::BatchResolveResponse, Status> {
        let request = batch_request(project, ids);
        self.resolver().batch_resolve(request).await.map(tonic::Response::into_inner)
    }

    pub async fn create(
        &self,
        project: u64,
        alias: impl AsRef<[u8]>,
        canonical: impl AsRef<[u8]>,
    ) -> Result<pb::CreateAliasResponse, Status> {
        let request = create_request(project, alias, canonical);
        self.admin().create_alias(request).await.map(tonic::Response::into_inner)
    }

    pub async fn dry_run(
        &self,
        project: u64,
        alias: impl AsRef<[u8]>,
        canonical: impl AsRef<[u8]>,
    ) -> Result<pb::CreateAliasResponse, Status> {
        let request =
            pb::CreateAliasRequest { dry_run: true, ..create_request(project, alias, canonical) };
        self.admin().create_alias(request).await.map(tonic::Response::into_inner)
    }

    pub async fn create_all(
        &self,
        requests: Vec<pb::CreateAliasRequest>,
    ) -> Result<pb::BatchCreateAliasesResponse, Status> {
        let request = pb::BatchCreateAliasesRequest { requests };
        self.admin().batch_create_aliases(request).await.map(tonic::Response::into_inner)
    }

    /// Creates `stem-0`, `stem-1` and so on, aliases of `of-stem-0` and so on.
    pub async fn create_many(&self, stem: &str, count: usize) {
        let ids: Vec<_> = (0..count).map(|n| format!("{stem}-{n}")).collect();
        for ids in ids.chunks(1_000) {
            let requests = ids.iter().map(|id| create_request(PROJECT, id, format!("of-{id}")));
            let created = self.create_all(requests.collect()).await.expect("a batch");
            assert!(created.results.iter().all(|result| result.response.is_some()));
        }
    }

    pub async fn get(&self, project: u64, alias: impl AsRef<[u8]>) -> Result<pb::Alias, Status> {
        let request = pb::GetAliasRequest { project_id: project, alias_id: bytes(alias) };
        self.admin().get_alias(request).await.map(tonic::Response::into_inner)
    }

    pub async fn update(
        &self,
        project: u64,
        alias: impl AsRef<[u8]>,
        canonical: impl AsRef<[u8]>,
        version: u64,
    ) -> Result<pb::UpdateAliasResponse, Status> {
        let request = pb::UpdateAliasRequest {
            project_id: project,
            alias_id: bytes(alias),
            canonical_id: bytes(canonical),
            expected_version: version,
        };
        self.admin().update_alias(request).await.map(tonic::Response::into_inner)
    }

    pub async fn delete(
        &self,
        project: u64,
        alias: impl AsRef<[u8]>,
        version: u64,
    ) -> Result<pb::DeleteAliasResponse, Status> {
        let request = pb::DeleteAliasRequest {
            project_id: project,
            alias_id: bytes(alias),
            expected_version: version,
        };
        self.admin().delete_alias(request).await.map(tonic::Response::into_inner)
    }

    /// One page.
    pub async fn list(
        &self,
        project: u64,
        canonical: impl AsRef<[u8]>,
        page_size: i32,
        page_token: &str,
    ) -> Result<pb::ListAliasesResponse, Status> {
        let request = pb::ListAliasesRequest {
            project_id: project,
            canonical_id: bytes(canonical),
            page_size,
            page_token: page_token.to_owned(),
        };
        self.admin().list_aliases(request).await.map(tonic::Response::into_inner)
    }

    /// The alias ids of all pages.
    pub async fn list_all(&self, project: u64, canonical: &str, page_size: i32) -> Vec<Bytes> {
        let (mut ids, mut token) = (Vec::new(), String::new());
        loop {
            let page = self.list(project, canonical, page_size, &token).await.expect("a page");
            ids.extend(page.aliases.into_iter().map(|alias| alias.alias_id));
            token = page.next_page_token;
            if token.is_empty() {
                return ids;
            }
        }
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

pub type Resolved = pb::ResolveResponse;

pub fn bytes(id: impl AsRef<[u8]>) -> Bytes {
    Bytes::copy_from_slice(id.as_ref())
}

pub fn create_request(
    project: u64,
    alias: impl AsRef<[u8]>,
    canonical: impl AsRef<[u8]>,
) -> pb::CreateAliasRequest {
    pb::CreateAliasRequest {
        project_id: project,
        alias_id: bytes(alias),
        canonical_id: bytes(canonical),
        dry_run: false,
    }
}

pub fn batch_request<I: AsRef<[u8]>>(
    project: u64,
    ids: impl IntoIterator<Item = I>,
) -> pb::BatchResolveRequest {
    pb::BatchResolveRequest {
        project_id: project,
        distinct_ids: ids.into_iter().map(bytes).collect(),
        consistency_token: String::new(),
    }
}

/// An error in the contract's form: the code, and an `ErrorInfo` of `aka` with the reason.
#[track_caller]
pub fn assert_refused(status: &Status, code: Code, reason: &str) -> ErrorDetails {
    let details = status.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
    let seen = (status.code(), info.reason.as_str(), info.domain.as_str());
    assert_eq!(seen, (code, reason, "aka"), "{}", status.message());
    assert!(!status.message().is_empty(), "{reason} says nothing to people");
    details
}

/// Tries until there is an answer.
pub async fn eventually<T>(what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = attempt().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Runs an `aka` command to its end.
pub async fn aka(command: &str, flags: &[String]) -> Output {
    let mut command = aka_command(command);
    command.args(flags).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let run = || spawn(command).and_then(Child::wait_with_output);
    tokio::task::spawn_blocking(run).await.expect("a thread").expect("aka can be started")
}

/// `aka check` finds nothing wrong.
pub async fn check_is_clean(database: &Database) {
    let output = aka("check", &database.flags()).await;
    let said = String::from_utf8_lossy(&output.stdout);
    let clean = output.status.success() && said.contains("no problems");
    assert!(clean, "aka check ({}): {said}{}", output.status, {
        String::from_utf8_lossy(&output.stderr)
    });
}

/// Without the settings that the environment of the tests may hold.
fn aka_command(command: &str) -> Command {
    let mut aka = Command::new(env!("CARGO_BIN_EXE_aka"));
    aka.env_clear().arg(command);
    // A busy machine is no fault of `aka`'s. Tests that are about time set flags, which win.
    aka.env("AKA_QUERY_TIMEOUT_MS", "20000").env("AKA_CONNECT_TIMEOUT_MS", "20000");
    aka.env("AKA_REQUEST_TIMEOUT_MS", "30000");
    aka
}

fn channel(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).expect("an address").connect_lazy()
}

/// Reads lines to the end, so that the process never waits for a reader.
fn read_lines(from: impl Read + Send + 'static, log: Log) -> mpsc::Receiver<String> {
    let (lines, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            log.push(line.clone());
            let surplus = log.len().saturating_sub(200);
            log.drain(..surplus);
            lines.send(line).ok();
        }
    });
    receiver
}

fn wait_for<T>(lines: &mpsc::Receiver<String>, read: impl Fn(&str) -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if let Some(found) = read(&lines.recv_timeout(left).ok()?) {
            return Some(found);
        }
    }
}

fn tail(log: &Log) -> String {
    let log = log.lock().unwrap_or_else(PoisonError::into_inner);
    log[log.len().saturating_sub(20)..].join("\n")
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
