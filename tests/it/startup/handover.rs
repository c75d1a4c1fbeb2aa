//! A deploy without a pause: a new process takes the sockets over, from the old process or from a
//! service manager.

use super::waiting::probe;
use aka_test_support::http2::{PREFACE, SETTINGS, headers};
use aka_test_support::{
    Aka, Backend, Database, PATIENCE, PROJECT, aka_serve, eventually, free_port, resolve_request,
    start_with, was_not_sent,
};
use aka_wire::pb::resolver_client::ResolverClient;
use rustix::process::Signal;
use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tonic::transport::Endpoint;

/// How many clients ask all the time.
const CLIENTS: usize = 4;

/// Clients that ask for `bob` without a pause and without retries. No call may fail.
struct Clients {
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
    tasks: JoinSet<()>,
}

impl Clients {
    fn start(address: SocketAddr) -> Self {
        let (stop, answers) = <(Arc<AtomicBool>, Arc<AtomicUsize>)>::default();
        let mut tasks = JoinSet::new();
        for number in 0..CLIENTS {
            let (stop, answers) = (stop.clone(), answers.clone());
            tasks.spawn(async move {
                while !stop.load(Ordering::Acquire) {
                    // One client keeps its connection, and the others often make new ones.
                    let calls = if number == 0 { usize::MAX } else { 10 * number };
                    let endpoint = Endpoint::from_shared(format!("http://{address}"));
                    let channel = endpoint.expect("an address").connect_lazy();
                    let mut resolver = ResolverClient::new(channel);
                    for _ in 0..calls {
                        if stop.load(Ordering::Acquire) {
                            break;
                        }
                        let request = resolve_request(PROJECT, "bob");
                        match resolver.resolve(request).await {
                            Ok(answer) => assert_eq!(answer.into_inner().canonical_id, "alice"),
                            Err(status) if was_not_sent(&status) => continue,
                            Err(status) => panic!("a call failed: {status:?}"),
                        }
                        answers.fetch_add(1, Ordering::AcqRel);
                    }
                }
            });
        }
        Self { stop, answers, tasks }
    }

    /// Waits until so many more calls were answered.
    async fn go_on(&self) {
        let target = self.answers.load(Ordering::Acquire) + 200;
        eventually("calls are answered", async || {
            (self.answers.load(Ordering::Acquire) >= target).then_some(())
        })
        .await;
    }

    async fn stop(self) {
        self.stop.store(true, Ordering::Release);
        self.tasks.join_all().await;
    }
}

/// A folder with the path of a handover, and the flags that name it.
fn place() -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("handover").display().to_string();
    (folder, path)
}

on_backends!(no_call_fails_in_a_handover: sqlite mysql_1);

async fn no_call_fails_in_a_handover(backend: Backend) {
    let (_folder, path) = place();
    let flags = ["--handover", path.as_str()];
    let (database, mut aka) = start_with(backend, &flags).await;
    aka.create(PROJECT, "bob", "alice").await.expect("created");
    let mode = fs::metadata(&path).expect("the socket is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "others may not connect");
    let (grpc, metrics) = (aka.grpc, aka.metrics);
    let clients = Clients::start(grpc);
    for _ in 0..3 {
        clients.go_on().await;
        let next = Aka::serve(&database, &flags).await;
        assert_eq!((next.grpc, next.metrics), (grpc, metrics), "the same sockets");
        let ended = aka.ended().await;
        assert_eq!(ended.code(), Some(0), "{ended}");
        assert_eq!(probe(metrics.port(), "/readyz").await.map(|it| it.0), Some(200));
        aka = next;
    }
    clients.go_on().await;
    clients.stop().await;
    assert_eq!(aka.stop().await.code(), Some(0));
    assert!(!Path::new(&path).exists(), "nothing is left behind");
}

on_backends!(a_new_process_that_dies_changes_nothing: sqlite);

/// Each place is before the new process says that it is ready.
async fn a_new_process_that_dies_changes_nothing(backend: Backend) {
    let (_folder, path) = place();
    let flags = ["--handover", path.as_str()];
    let (database, aka) = start_with(backend, &flags).await;
    aka.create(PROJECT, "bob", "alice").await.expect("created");
    let clients = Clients::start(aka.grpc);
    let places = [
        "handover-asked",
        "handover-received",
        "start-databases",
        "handover-starts",
        "handover-warm",
    ];
    for place in places {
        let dies =
            aka_serve(database.flags()).args(flags).env("AKA_CRASH_AT", format!("{place}:1"));
        let ended = dies.run().await;
        assert_eq!(ended.code, None, "it was killed: {ended}");
        clients.go_on().await;
        assert_eq!(probe(aka.metrics.port(), "/readyz").await.map(|it| it.0), Some(200));
    }
    let next = Aka::serve(&database, &flags).await;
    assert_eq!(aka.ended().await.code(), Some(0));
    clients.go_on().await;
    clients.stop().await;
    drop(next);
}

on_backends!(what_would_fail_after_the_handover_fails_before: sqlite);

/// The new process cannot offer the sockets to the next one.
async fn what_would_fail_after_the_handover_fails_before(backend: Backend) {
    let (folder, path) = place();
    let gates = tempfile::tempdir().expect("a temporary folder can be made");
    let flags = ["--handover", path.as_str()];
    let (database, aka) = start_with(backend, &flags).await;
    let (gate, held) =
        (gates.path().join("handover-warm"), gates.path().join("handover-warm.held"));
    fs::write(&gate, "").expect("it can be written");
    let new = aka_serve(database.flags()).args(flags).env("AKA_HOLD_DIR", gates.path());
    let new = tokio::spawn(new.run());
    eventually("it is about to take over", async || held.exists().then_some(())).await;
    fs::remove_dir_all(folder.path()).expect("it can be removed");
    fs::remove_file(&gate).expect("it is there");
    new.await.expect("it ends").failed(69, &["cannot offer a handover"]);
    assert!(aka.create(PROJECT, "bob", "alice").await.expect("the old one serves").created);
    assert_eq!(probe(aka.metrics.port(), "/readyz").await.map(|it| it.0), Some(200));
    assert_eq!(aka.stop().await.code(), Some(0));
}

on_backends!(a_process_that_was_taken_over_hears_signals: sqlite);

/// It has a call under way that lasts for ten seconds. Without it, it would end at once.
async fn a_process_that_was_taken_over_hears_signals(backend: Backend) {
    let (_folder, path) = place();
    let flags = ["--handover", path.as_str(), "--drain-timeout-ms", "60000"];
    let (database, aka) = start_with(backend, &flags).await;
    let mut client = TcpStream::connect(aka.grpc).expect("the server listens");
    let half = [PREFACE, SETTINGS, &headers(1)].concat();
    client.write_all(&half).expect("the server reads");
    let started = async || aka.metric("grpc_server_started_total", &[]).await > 0.0;
    eventually("the call is under way", async || started().await.then_some(())).await;
    let _next = Aka::serve(&database, &flags).await;
    eventually("it was taken over", async || aka.logged("has taken over").pop()).await;
    aka.signal(Signal::TERM);
    aka.signal(Signal::INT);
    let ended = aka.ended().await;
    assert_eq!(ended.code(), Some(1), "{ended}");
}

on_backends!(a_process_that_is_stopping_is_waited_for: sqlite);

/// The old process has a call under way that lasts until its client goes.
async fn a_process_that_is_stopping_is_waited_for(backend: Backend) {
    let (_folder, path) = place();
    let (grpc, metrics) = (free_port(), free_port());
    let listen = [grpc, metrics].map(|port| format!("127.0.0.1:{port}"));
    let flags = ["--listen", &listen[0], "--metrics-listen", &listen[1], "--handover", &path];
    let flags = [&flags[..], &["--drain-timeout-ms", "60000"]].concat();
    let database = Database::create(backend).await;
    let old = Aka::serve(&database, &flags).await;
    let mut client = TcpStream::connect(old.grpc).expect("the server listens");
    let half = [PREFACE, SETTINGS, &headers(1)].concat();
    client.write_all(&half).expect("the server reads");
    let started = async || old.metric("grpc_server_started_total", &[]).await > 0.0;
    eventually("the call is under way", async || started().await.then_some(())).await;
    old.signal(Signal::TERM);
    let refused = async || TcpStream::connect(old.grpc).is_err().then_some(());
    eventually("it accepts no more", refused).await;

    let next = Aka::serve(&database, &flags);
    let meanwhile = async {
        let waits = async || TcpStream::connect(old.grpc).ok();
        let newcomer = eventually("the new process has bound the gRPC port", waits).await;
        assert!(old.metric("grpc_server_started_total", &[]).await > 0.0, "the old one goes on");
        drop(client);
        assert_eq!(old.ended().await.code(), Some(0));
        newcomer
    };
    let (next, _newcomer) = tokio::join!(next, meanwhile);
    assert_eq!((next.grpc.port(), next.metrics.port()), (grpc, metrics));
    assert!(next.create(PROJECT, "bob", "alice").await.expect("it serves").created);
    assert_eq!(probe(metrics, "/readyz").await.map(|it| it.0), Some(200));
    // It offers the sockets in its turn.
    let last = Aka::serve(&database, &["--handover", &path]).await;
    assert_eq!((next.ended().await.code(), last.grpc.port()), (Some(0), grpc));
}

on_backends!(one_process_takes_over_at_a_time: sqlite);

async fn one_process_takes_over_at_a_time(backend: Backend) {
    let (folder, path) = place();
    let flags = ["--handover", path.as_str()];
    let (database, aka) = start_with(backend, &flags).await;
    let (gate, held) =
        (folder.path().join("handover-warm"), folder.path().join("handover-warm.held"));
    fs::write(&gate, "").expect("it can be written");
    let folder = folder.path().display().to_string();
    let environment = [("AKA_HOLD_DIR", folder.as_str())];
    let first = Aka::serve_with_env(&database, &flags, &environment);
    let second = async {
        eventually("the first is about to take over", async || held.exists().then_some(())).await;
        let second = aka_serve(database.flags()).args(flags).run().await;
        second.failed(69, &["another process is doing so"]);
        assert!(aka.create(PROJECT, "bob", "alice").await.expect("the old one serves").created);
        fs::remove_file(&gate).expect("it is there");
    };
    let (first, ()) = tokio::join!(first, second);
    assert_eq!(aka.ended().await.code(), Some(0));
    assert_eq!(first.resolve(PROJECT, "bob").await.expect("an answer").canonical_id, "alice");
}

on_backends!(what_is_no_old_process_is_told_from_one: sqlite);

async fn what_is_no_old_process_is_told_from_one(backend: Backend) {
    let (folder, path) = place();
    let flags = ["--handover", path.as_str()];
    let database = Database::create(backend).await;
    fs::write(&path, "a file").expect("it can be written");
    let refused = aka_serve(database.flags()).args(flags).run().await;
    refused.failed(69, &["is no socket", "--handover"]);
    assert_eq!(fs::read_to_string(&path).expect("it is there"), "a file");
    fs::remove_file(&path).expect("it is there");

    // What a killed process leaves behind.
    drop(UnixListener::bind(&path).expect("it can be bound"));
    let aka = Aka::serve(&database, &flags).await;
    aka.kill();
    let aka = Aka::serve(&database, &flags).await;
    aka.create(PROJECT, "bob", "alice").await.expect("it serves");
    let left = fs::read_dir(folder.path()).expect("it can be read").count();
    assert_eq!(left, 1, "only the socket");
}

on_backends!(a_port_that_is_taken_has_an_owner: sqlite);

async fn a_port_that_is_taken_has_an_owner(backend: Backend) {
    let (database, aka) = start_with(backend, &[]).await;
    let (listen, owner) = (aka.grpc.to_string(), format!("aka (process {})", aka.pid()));
    let flags = ["serve", "--listen", &listen, "--metrics-listen", "127.0.0.1:0"];
    let second = aka_test_support::aka(flags).args(database.flags()).run().await;
    second.failed(69, &[&listen, &owner, "stop it first", "--handover"]);
}

on_backends!(a_service_manager_keeps_the_sockets: sqlite);

/// The sockets outlive each process, and the service manager is told of its stages.
async fn a_service_manager_keeps_the_sockets(backend: Backend) {
    let database = Database::create(backend).await;
    let sockets = [free_port(), free_port()]
        .map(|port| TcpListener::bind(("127.0.0.1", port)).expect("the port is free"));
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).expect("it can be bound");
    manager.set_read_timeout(Some(PATIENCE)).expect("a time-out can be set");
    let path = path.display().to_string();
    let environment = [("NOTIFY_SOCKET", path.as_str()), ("WATCHDOG_USEC", "100000")];
    let mut clients = None;
    for times in 0..3 {
        let aka = Aka::serve_on(&database, &sockets, &environment).await;
        assert_eq!(aka.grpc, sockets[0].local_addr().expect("an address"));
        assert_eq!(aka.metrics, sockets[1].local_addr().expect("an address"));
        if times == 0 {
            aka.create(PROJECT, "bob", "alice").await.expect("created");
        }
        // Calls that come while no process runs wait in the socket's queue.
        let clients = clients.get_or_insert_with(|| Clients::start(aka.grpc));
        for wanted in ["READY=1", "WATCHDOG=1", "WATCHDOG=1"] {
            hears(&manager, wanted);
        }
        clients.go_on().await;
        aka.signal(Signal::TERM);
        hears(&manager, "STOPPING=1");
        assert_eq!(aka.ended().await.code(), Some(0));
    }
    let aka = Aka::serve_on(&database, &sockets, &[]).await;
    let clients = clients.expect("they ask");
    clients.go_on().await;
    clients.stop().await;
    drop(aka);
}

/// Waits for a message of the instance. Others may come before.
fn hears(manager: &UnixDatagram, wanted: &str) {
    let mut message = [0; 256];
    loop {
        let length = tokio::task::block_in_place(|| manager.recv(&mut message));
        let length = length.unwrap_or_else(|error| panic!("never heard {wanted}: {error}"));
        if String::from_utf8_lossy(&message[..length]).trim() == wanted {
            return;
        }
    }
}

on_backends!(sockets_have_names: sqlite);

async fn sockets_have_names(backend: Backend) {
    let database = Database::create(backend).await;
    let serve = aka_serve(database.flags());
    let serve = serve.env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", "web");
    serve.run().await.failed(69, &["\"web\"", "grpc", "ops"]);

    // Nobody would accept what waits in the queue of one of them.
    let sockets = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("there is a free port"));
    let twice = aka_serve(database.flags()).sockets(&sockets, "grpc:grpc");
    twice.run().await.failed(69, &["two sockets with the name grpc", "ListenStream"]);
    let served = TcpStream::connect(sockets[0].local_addr().expect("an address"));
    let accepted = sockets[0].accept().expect("it has connected").0;
    drop(served);
    let other = sockets[1].try_clone().expect("a descriptor is free");
    let connection = [TcpListener::from(OwnedFd::from(accepted)), other];
    let connected = aka_serve(database.flags()).sockets(&connection, "grpc:ops");
    connected.run().await.failed(69, &["a connection with the name grpc", "Accept=no"]);
}
