//! SIGTERM: requests under way are answered, no client delays the stop, and the exit code is 0.

use aka_test_support::http2::{PREFACE, SETTINGS, headers};
use aka_test_support::{
    Aka, Backend, Database, PROJECT, assert_refused, batch_request, create_request, eventually,
    start_with,
};
use aka_wire::pb::alias_admin_client::AliasAdminClient;
use aka_wire::pb::resolver_client::ResolverClient;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// How long a stop may take that must not need its drain timeout, which is far longer.
const SOON: Duration = Duration::from_secs(10);

on_backends!(an_open_stream_is_ended: sqlite mysql_1);

async fn an_open_stream_is_ended(backend: Backend) {
    let (_database, aka) =
        start_with(backend, &["--drain-timeout-ms", "25000", "--filter", "false"]).await;
    aka.create(PROJECT, "bob", "alice").await.expect("created");
    let (requests, receiver) = mpsc::channel(1);
    let answers = aka.resolver().stream_resolve(ReceiverStream::new(receiver)).await;
    let mut answers = answers.expect("a stream").into_inner();
    requests.send(batch_request(PROJECT, ["bob"])).await.expect("the stream is open");
    let answer = answers.message().await.expect("an answer").expect("an answer");
    assert_eq!(answer.aliases.len(), 1);

    // The client could send more, because it has not ended its half.
    let began = Instant::now();
    let (status, last) = tokio::join!(aka.stop(), answers.message());
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(began.elapsed() < SOON, "it took {:?}", began.elapsed());
    let last = last.expect_err("the server is stopping");
    let details = assert_refused(&last, Code::Unavailable, "SHUTTING_DOWN");
    assert!(details.retry_info().is_some(), "{details:?}");
    drop(requests);
}

on_backends!(what_arrived_on_a_stream_is_answered: sqlite mysql_1);

/// Ten batches have arrived when the server stops, and only the first are being worked on.
async fn what_arrived_on_a_stream_is_answered(backend: Backend) {
    let database = Database::create(backend).await;
    let gates = tempfile::tempdir().expect("a temporary folder can be made");
    let (gate, held) = (gates.path().join("landing"), gates.path().join("landing.held"));
    let environment = [("AKA_HOLD_DIR", gates.path().to_str().expect("text"))];
    let flags = ["--drain-timeout-ms", "60000", "--filter", "false"];
    // The load is held for as long as this machine takes to notice the stop. Meanwhile memory answers
    // for bob, however late the feed is: another load would be held, too.
    let patient = ["--request-timeout-ms", "60000", "--staleness-limit-ms", "60000"];
    let flags = [&flags[..], &patient].concat();
    let aka = Aka::serve_with_env(&database, &flags, &environment).await;
    aka.create(PROJECT, "bob", "alice").await.expect("created");
    aka.resolve(PROJECT, "bob").await.expect("from now on memory has it");
    std::fs::write(&gate, "").expect("the gate closes");
    let (requests, receiver) = mpsc::channel(1);
    let mut resolver = ResolverClient::new(aka.channel());
    let answers = resolver.stream_resolve(ReceiverStream::new(receiver)).await;
    let mut answers = answers.expect("a stream").into_inner();
    for number in 0..10 {
        let batch = batch_request(PROJECT, ["bob", &format!("new-{number}")]);
        requests.send(batch).await.expect("the stream is open");
    }
    eventually("a load is held", async || held.exists().then_some(())).await;
    // Calls on the same connection are read after them.
    eventually("the channel of the client is empty", async || {
        (requests.capacity() == requests.max_capacity()).then_some(())
    })
    .await;
    // The batches may still wait in a task of the client. Each call gives it a turn.
    for _ in 0..100 {
        let health = HealthClient::new(aka.channel()).check(HealthCheckRequest::default()).await;
        health.expect("an answer, which needs no load");
    }
    aka.signal(rustix::process::Signal::TERM);
    eventually("it stops", async || aka.logged("stopping").pop()).await;
    eventually("nobody listens any more", async || TcpStream::connect(aka.grpc).err()).await;
    std::fs::remove_file(&gate).expect("the gate opens");
    for _ in 0..10 {
        let answer = answers.message().await.expect("an answer").expect("an answer");
        assert!(answer.aliases.len() == 1 && answer.failures.is_empty(), "{answer:?}");
    }
    let last = answers.message().await.expect_err("the server is stopping");
    assert_refused(&last, Code::Unavailable, "SHUTTING_DOWN");
    assert_eq!(aka.ended().await.code(), Some(0));
}

on_backends!(requests_under_way_are_answered: mysql_1 mariadb_1);

/// Reads and writes wait for a locked table when the process is told to stop. It takes no new
/// connection, and answers each of these requests (P9).
async fn requests_under_way_are_answered(backend: Backend) {
    let (database, aka) =
        start_with(backend, &["--drain-timeout-ms", "60000", "--filter", "false"]).await;
    aka.create(PROJECT, "known", "alice").await.expect("created");
    let mut owner = database.connect(0).await;
    owner.execute("LOCK TABLES alias WRITE").await;
    let started = async || aka.metric("grpc_server_started_total", &[]).await;
    let (mut calls, before) = (JoinSet::new(), started().await);
    for connection in 0..3 {
        let (resolver, admin) =
            (ResolverClient::new(aka.new_channel()), AliasAdminClient::new(aka.new_channel()));
        for call in 0..5 {
            let id = format!("{connection}-{call}");
            let (mut resolver, mut admin) = (resolver.clone(), admin.clone());
            calls.spawn(async move {
                let read = batch_request(PROJECT, [id.as_str(), "known"]);
                let write = create_request(PROJECT, &id, "alice");
                let (read, write) =
                    tokio::join!(resolver.batch_resolve(read), admin.create_alias(write));
                let read = read.expect("a read that was under way").into_inner();
                assert!(read.failures.is_empty(), "{read:?}");
                let write = write.expect("a write that was under way").into_inner();
                assert!(write.created, "{write:?}");
            });
        }
    }
    let begun = async || (started().await == before + 30.0).then_some(());
    eventually("every call is under way", begun).await;
    let rest = async {
        eventually("nobody listens any more", async || TcpStream::connect(aka.grpc).err()).await;
        assert!(calls.try_join_next().is_none(), "nothing could be answered yet");
        owner.execute("UNLOCK TABLES").await;
        calls.join_all().await;
    };
    let (status, ()) = tokio::join!(aka.stop(), rest);
    assert_eq!(status.code(), Some(0), "{status}");
    let written = database.tables().await[0].forward.len();
    assert_eq!(written, 16, "every write that was acknowledged");
}

/// Between the two steps of a write its client goes away, and the process is told to stop. The second
/// step must still be done. The first step alone would pin its id for an hour.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_whose_client_has_gone_is_finished() {
    let backend = aka_test_support::backend::mysql_3();
    let (database, aka) = start_with(backend, &["--query-timeout-ms", "60000"]).await;
    let alias = database.ids_on(0, PROJECT, "alias", 1).remove(0);
    let canonical = database.ids_on(1, PROJECT, "canonical", 1).remove(0);
    let mut owner = database.connect(1).await;
    owner.execute("LOCK TABLES canonical WRITE").await;
    let mut admin = AliasAdminClient::new(aka.new_channel());
    let request = create_request(PROJECT, &alias, &canonical);
    let client = tokio::spawn(async move { admin.create_alias(request).await });
    let mut watcher = database.connect(1).await;
    let waiting = "SELECT COUNT(*) FROM information_schema.processlist \
        WHERE db = DATABASE() AND state LIKE 'Waiting for table%'";
    let waits = async || (watcher.number(waiting).await > 0).then_some(());
    eventually("the write waits for the table", waits).await;
    client.abort();
    assert!(client.await.is_err_and(|end| end.is_cancelled()), "the client has gone");
    let rest = async {
        eventually("nobody listens any more", async || TcpStream::connect(aka.grpc).err()).await;
        // The process logs this when no connection is left. Only then may the first step end.
        let drained = async || (!aka.logged("waiting for writes").is_empty()).then_some(());
        eventually("no connection is left", drained).await;
        owner.execute("UNLOCK TABLES").await;
    };
    let (status, ()) = tokio::join!(aka.stop(), rest);
    assert_eq!(status.code(), Some(0), "{status}");
    let tables = database.tables().await;
    assert_eq!((tables[0].forward.len(), tables[1].inverse.len()), (1, 1), "{tables:?}");
}

on_backends!(silent_peers_are_cut_off: sqlite);

async fn silent_peers_are_cut_off(backend: Backend) {
    let (_database, aka) =
        start_with(backend, &["--drain-timeout-ms", "300", "--filter", "false"]).await;
    // One sends nothing, one does not answer, and one opens a call and never ends it.
    let peers = [&[][..], &[SETTINGS], &[SETTINGS, &headers(1)]].map(|frames| peer(&aka, frames));
    let began = Instant::now();
    let status = aka.stop().await;
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(began.elapsed() < SOON, "it took {:?}", began.elapsed());
    drop(peers);
}

/// A connection over which these frames are sent, and nothing more.
fn peer(aka: &Aka, frames: &[&[u8]]) -> TcpStream {
    let mut stream = TcpStream::connect(aka.grpc).expect("the server listens");
    if !frames.is_empty() {
        stream.write_all(PREFACE).expect("the server reads");
        frames.iter().for_each(|frame| stream.write_all(frame).expect("the server reads"));
        // Its own settings show that it has taken the connection.
        stream.read_exact(&mut [0; 9]).expect("the server answers");
    }
    stream
}
