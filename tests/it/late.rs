//! A server whose threads are late refuses what costs much, and answers the rest (P10).

use aka_test_support::http2::{PREFACE, SETTINGS, data, frame, headers_of};
use aka_test_support::{
    Aka, Backend, Database, PROJECT, assert_refused, batch_request, create_request, eventually,
    resolve_request,
};
use aka_wire::frame::framed;
use prost::Message;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus::Serving;
use tonic_health::pb::health_client::HealthClient;

/// So many calls in a row that are all refused show that all are.
const CALLS: usize = 20;

/// A server whose threads say how late they are as the file says.
struct Late {
    file: PathBuf,
    /// How many ids were asked for that nobody knows.
    calls: AtomicUsize,
    aka: Aka,
    _database: Database,
    _folder: TempDir,
}

impl Late {
    async fn start(backend: Backend) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let hooks = folder.path().display().to_string();
        let database = Database::create(backend).await;
        // No filter: it would answer for ids that are no aliases.
        // Memory stays fresh even on a busy machine.
        let fresh = ["--staleness-limit-ms", "120000"];
        let flags = [&fresh[..], &["--filter", "false", "--overload-lag-ms", "5"]].concat();
        let environment = [("AKA_HOLD_DIR", hooks.as_str())];
        let aka = Aka::serve_with_env(&database, &flags, &environment).await;
        Self {
            file: folder.path().join("late-ms"),
            calls: AtomicUsize::new(0),
            aka,
            _database: database,
            _folder: folder,
        }
    }

    /// The threads are late, until everything is refused that may be.
    async fn begin(&self) {
        fs::write(&self.file, "50").expect("it can be written");
        eventually("unknown ids are refused", async || {
            let mut refused = 0;
            // Each thread has its own share, and each new connection goes to another one.
            for _ in 0..CALLS {
                let id = format!("cold-{}", self.calls.fetch_add(1, Ordering::Relaxed));
                refused += usize::from(self.resolve_on_new(&id).await.is_err());
            }
            (refused == CALLS).then_some(())
        })
        .await;
    }

    async fn resolve_on_new(&self, id: &str) -> Result<(), Status> {
        let mut resolver =
            aka_wire::pb::resolver_client::ResolverClient::new(self.aka.new_channel());
        resolver.resolve(resolve_request(PROJECT, id)).await.map(drop)
    }

    fn end(&self) {
        fs::remove_file(&self.file).expect("it is there");
    }
}

/// The same call, in the background.
fn in_background<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("aka-priority", "background".parse().expect("ascii"));
    request
}

/// Refused, with the time after which to try again.
fn assert_late(status: &Status) {
    let details = assert_refused(status, Code::ResourceExhausted, "OVERLOADED");
    let delay = details.retry_info().and_then(|info| info.retry_delay).expect("a delay");
    let pushback = status.metadata().get("grpc-retry-pushback-ms").expect("a pushback");
    assert_eq!(pushback.to_str().expect("ascii"), delay.as_millis().to_string());
}

on_backends!(what_costs_much_is_refused_while_the_threads_are_late: sqlite mysql_1);

async fn what_costs_much_is_refused_while_the_threads_are_late(backend: Backend) {
    let late = Late::start(backend).await;
    let aka = &late.aka;
    let created = aka.create(PROJECT, "bob", "alice").await.expect("created");
    aka.resolve(PROJECT, "nobody").await.expect("answered, and remembered");
    aka.resolve_as_of(PROJECT, "bob", &created.consistency_token).await.expect("answered");
    late.begin().await;

    // What memory knows is answered, also in the background.
    assert_eq!(aka.resolve(PROJECT, "bob").await.expect("an answer").canonical_id, "alice");
    let known = aka.resolver().resolve(in_background(resolve_request(PROJECT, "bob"))).await;
    assert_eq!(known.expect("an answer").into_inner().canonical_id, "alice");
    let health = HealthClient::new(aka.channel()).check(HealthCheckRequest::default()).await;
    assert_eq!(health.expect("an answer").into_inner().status(), Serving);
    let mixed = aka.batch_resolve(PROJECT, ["bob", "new", "nobody"]).await.expect("an answer");
    let failed: Vec<_> = mixed.failures.iter().map(|f| (f.index, f.reason.as_str())).collect();
    assert_eq!((failed, mixed.aliases.len()), (vec![(1, "OVERLOADED")], 1));
    assert_eq!(aka.get(PROJECT, "bob").await.expect("admins look").version, 1);

    // The rest is refused.
    assert_late(&aka.resolve(PROJECT, "another").await.expect_err("not in memory"));
    assert_late(&aka.create(PROJECT, "rob", "alice").await.expect_err("a write"));
    let all = vec![create_request(PROJECT, "rob", "alice")];
    assert_late(&aka.create_all(all).await.expect_err("writes"));
    assert_late(&aka.update(PROJECT, "bob", "carol", 1).await.expect_err("a write"));
    assert_late(&aka.delete(PROJECT, "bob", 1).await.expect_err("a write"));
    let large = aka.batch_resolve(PROJECT, vec!["bob"; 1_001]).await;
    assert_late(&large.expect_err("a large batch"));
    let some = aka.batch_resolve(PROJECT, vec!["bob"; 1_000]).await.expect("an answer");
    assert_eq!(some.aliases.len(), 1_000);
    let batches = |count| tokio_stream::iter(vec![batch_request(PROJECT, ["bob"]); count]);
    let background = aka.resolver().stream_resolve(in_background(batches(2))).await;
    let mut background = background.expect("a stream").into_inner();
    assert_late(&background.message().await.expect_err("a stream in the background"));
    let stream = aka.resolver().stream_resolve(batches(2)).await;
    let mut stream = stream.expect("a stream").into_inner();
    for _ in 0..2 {
        let answer = stream.message().await.expect("an answer").expect("an answer");
        assert_eq!(answer.aliases.len(), 1);
    }
    assert!(aka.metric("aka_shed_total", &["reason=\"time\""]).await >= CALLS as f64);

    late.end();
    eventually("all is answered again", async || {
        aka.create(PROJECT, "rob", "alice").await.ok()?;
        let request = in_background(resolve_request(PROJECT, "another"));
        aka.resolver().resolve(request).await.ok()
    })
    .await;
}

on_backends!(a_call_that_waited_past_its_deadline_is_dropped: sqlite);

/// It waits in the socket while the server stands still. Its answer would be in memory.
async fn a_call_that_waited_past_its_deadline_is_dropped(backend: Backend) {
    let (_database, aka) = aka_test_support::start(backend).await;
    aka.create(PROJECT, "bob", "alice").await.expect("created");
    aka.resolve(PROJECT, "bob").await.expect("in memory");
    let mut client = TcpStream::connect(aka.grpc).expect("the server listens");
    client.set_read_timeout(Some(Duration::from_secs(10))).expect("a time-out can be set");
    client.write_all(&[PREFACE, SETTINGS, &call(1, "10S")].concat()).expect("the server reads");
    read_to_end_of(&mut client, 1);

    aka.pause();
    client.write_all(&[call(3, "50m"), call(5, "10S")].concat()).expect("the kernel takes it");
    // The deadline must pass while the server stands still.
    tokio::time::sleep(Duration::from_millis(200)).await;
    aka.resume();
    read_to_end_of(&mut client, 5);
    let handled = ["grpc_method=\"Resolve\"", "grpc_code=\"DeadlineExceeded\""];
    assert_eq!(aka.metric("grpc_server_handled_total", &handled).await, 1.0);
    assert_eq!(aka.metric("aka_shed_total", &["reason=\"time\""]).await, 1.0);
}

/// Reads frames up to the one that ends this stream.
fn read_to_end_of(client: &mut TcpStream, stream: u32) {
    loop {
        let mut head = [0; 9];
        client.read_exact(&mut head).expect("a frame");
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        client.read_exact(&mut vec![0; length as usize]).expect("the rest of the frame");
        let ends = matches!(head[3], 0 | 1) && head[4] & 1 == 1;
        if ends && head[5..] == stream.to_be_bytes() {
            return;
        }
    }
}

/// A whole call with this time-out.
fn call(stream: u32, timeout: &str) -> Vec<u8> {
    let message = resolve_request(PROJECT, "bob").encode_to_vec();
    let message = framed(message.len(), |buffer| buffer.extend(&message));
    let mut head = headers_of(stream, "/aka.v1.Resolver/Resolve");
    // HPACK: a literal header with a new name, not indexed.
    let mut field = vec![0x00, 12];
    field.extend(b"grpc-timeout");
    field.push(timeout.len() as u8);
    field.extend(timeout.as_bytes());
    let block = [head.split_off(9), field].concat();
    [frame(1, 4, stream, &block), data(stream, &message, true)].concat()
}
