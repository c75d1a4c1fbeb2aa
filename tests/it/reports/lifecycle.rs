//! Start, health, and an orderly stop.

mod goodbye;
mod probes;

use aka_test_support::http2::{PREFACE, SETTINGS};
use aka_test_support::{
    Aka, Database, DbServer, Engine, PATIENCE, PROJECT, backend, eventually, was_not_sent,
};
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};
use tonic::Status;

/// A server of this test's own, so that the test may count what happens on it, and kill it.
async fn own_server(engine: Engine) -> DbServer {
    let started = tokio::task::spawn_blocking(move || DbServer::start(engine)).await;
    started.expect("a server of its own")
}

fn file_of(database: &Database) -> String {
    database.flags().remove(1)
}

/// The aliases in a copy of the file alone, without the files that SQLite keeps beside it.
async fn aliases_in_a_copy(file: &str, folder: &Path) -> usize {
    let copy = folder.join(format!("copy-{}.db", rand::random::<u64>()));
    fs::copy(file, &copy).expect("it can be copied");
    let url = format!("sqlite://{}", copy.display());
    let mut copy = SqliteConnection::connect(&url).await.expect("the copy can be opened");
    let rows = sqlx::query("SELECT 1 FROM alias").fetch_all(&mut copy).await;
    rows.expect("the copy has its tables").len()
}

fn log_length(file: &str) -> u64 {
    fs::metadata(format!("{file}-wal")).map_or(0, |found| found.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_alone_is_the_whole_database_after_a_stop() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let database = Database::create(backend::sqlite()).await;
    let file = file_of(&database);
    for stops in 1..=20 {
        let aka = Aka::serve(&database, &[]).await;
        aka.create(PROJECT, format!("alias-{stops}"), "alice").await.expect("created");
        let status = aka.stop().await;
        assert_eq!(status.code(), Some(0), "{status}");
        assert_eq!(log_length(&file), 0, "what is in the log is not in the file");
        assert_eq!(aliases_in_a_copy(&file, folder.path()).await, stops, "acknowledged aliases");
    }
}

/// SQLite moves the log into the file when the last connection closes. Here that is not aka's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_is_whole_also_if_another_process_has_it_open() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let database = Database::create(backend::sqlite()).await;
    let aka = Aka::serve(&database, &[]).await;
    let mut other = database.connect(0).await;
    aka.create(PROJECT, "bob", "alice").await.expect("created");
    assert_eq!(other.number("SELECT COUNT(*) FROM alias").await, 1);
    let status = aka.stop().await;
    assert_eq!(status.code(), Some(0), "{status}");
    assert_eq!(aliases_in_a_copy(&file_of(&database), folder.path()).await, 1);
    assert_eq!(other.number("SELECT COUNT(*) FROM alias").await, 1);
}

/// More than a process may have at first, fewer than the default of `max_connections`.
const IDLE: usize = 300;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_leave_descriptors_if_the_limit_can_be_raised() {
    let (_database, aka, idle) = crowded((256, 4096), PATIENCE).await;
    assert_eq!(idle.len(), IDLE, "as many as were to be opened");
    eventually("all connections are accepted", async || {
        (aka.metric("aka_connections", &[]).await > IDLE as f64).then_some(())
    })
    .await;
    everything_works(&aka).await;
    drop(idle);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_leave_descriptors_if_the_limit_is_low() {
    let (_database, aka, idle) = crowded((256, 256), Duration::from_secs(1)).await;
    let [said] = &aka.logged("max_connections")[..] else {
        panic!("it is said once: {:?}", aka.logged("max_connections"))
    };
    let said: serde_json::Value = serde_json::from_str(said).expect("JSON");
    assert_eq!(said["level"], "WARN", "{said}");
    let accepted = said["accepted"].as_f64().expect("a number");
    assert!((1.0..256.0).contains(&accepted), "{said}");
    eventually("as many as there is room for", async || {
        (aka.metric("aka_connections", &[]).await == accepted).then_some(())
    })
    .await;
    everything_works(&aka).await;
    drop(idle);
}

/// An instance with a client, and with connections that are open and do nothing: all of them, or as
/// many as the kernel takes, if it lets one wait for so long.
async fn crowded(descriptors: (u64, u64), patience: Duration) -> (Database, Aka, Vec<TcpStream>) {
    let database = Database::create(backend::mysql_1()).await;
    let aka = Aka::serve_with_descriptors(&database, descriptors).await;
    aka.create(PROJECT, "bob", "alice").await.expect("created");
    let open = |_| {
        // The kernel keeps some until they are accepted. It does not answer to more.
        let mut stream = TcpStream::connect_timeout(&aka.grpc, patience).ok()?;
        stream.write_all(&[PREFACE, SETTINGS].concat()).expect("the server reads");
        Some(stream)
    };
    let idle = (0..IDLE).map_while(open).collect();
    (database, aka, idle)
}

async fn everything_works(aka: &Aka) {
    taken(async || aka.create(PROJECT, "carol", "alice").await).await;
    // Admin reads open connections to the database only now.
    let page = taken(async || aka.list(PROJECT, "alice", 10, "").await).await;
    let aliases: Vec<_> = page.aliases.iter().map(|alias| &alias.alias_id[..]).collect();
    assert_eq!(aliases, [&b"bob"[..], b"carol"]);
    assert_eq!(http_status(aka.metrics, "/readyz").await, 200);
    let failed = aka.logged("cannot accept");
    assert!(failed.is_empty(), "{failed:?}");
}

/// The answer to a call. It is made again if it was not sent: the client's own connection is one of
/// those that may be ended to make room.
async fn taken<T>(call: impl AsyncFn() -> Result<T, Status>) -> T {
    eventually("the call is sent", async || match call().await {
        Ok(answer) => Some(answer),
        Err(status) if was_not_sent(&status) => None,
        Err(status) => panic!("a call failed: {status:?}"),
    })
    .await
}

/// The status code of an answer of the operations port.
async fn http_status(address: SocketAddr, path: &'static str) -> u16 {
    let asked = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).expect("the operations port is open");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time-out can be set");
        let request = format!("GET {path} HTTP/1.1\r\nHost: aka\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("the request can be sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the answer can be read");
        answer.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status code")
    });
    asked.await.expect("the request ends")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_mysql_that_is_killed_is_down() {
    an_idle_server_that_goes_away_is_down(Engine::MySql, DbServer::kill).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_mariadb_that_is_killed_is_down() {
    an_idle_server_that_goes_away_is_down(Engine::MariaDb, DbServer::kill).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_mysql_that_no_longer_answers_is_down() {
    an_idle_server_that_goes_away_is_down(Engine::MySql, DbServer::pause).await;
}

/// Nobody asks for an id, so no lookup finds out.
async fn an_idle_server_that_goes_away_is_down(engine: Engine, go_away: fn(&DbServer)) {
    let server = own_server(engine).await;
    let database = Database::on(&[&server]).await;
    let limits = ["--query-timeout-ms", "1000", "--connect-timeout-ms", "1000"];
    let aka = Aka::serve(&database, &limits).await;
    let up = async |wanted: f64| {
        let is_so = async || (aka.metric("aka_shard_up", &[]).await == wanted).then_some(());
        eventually("the shard is up, or is not", is_so).await;
    };
    up(1.0).await;
    let ready = async || (http_status(aka.metrics, "/readyz").await == 200).then_some(());
    eventually("memory is warm, so its log is followed", ready).await;
    let server = tokio::task::spawn_blocking(move || {
        go_away(&server);
        server
    });
    let server = server.await.expect("it is gone");
    let gone = Instant::now();
    up(0.0).await;
    assert!(gone.elapsed() < Duration::from_secs(3), "after {:?}", gone.elapsed());
    // The instance is ready all the same: it gives degraded answers, and says why it cannot do more.
    assert_eq!(http_status(aka.metrics, "/readyz").await, 200);
    let address = aka.metrics.to_string();
    let shown = aka_test_support::aka(["status", "--metrics-server", &address]).run().await;
    assert_eq!(shown.code, Some(1), "{shown}");
    assert!(shown.text().to_lowercase().contains("down"), "{shown}");

    let restart = tokio::task::spawn_blocking(move || {
        server.restart();
        server
    });
    let _server = restart.await.expect("it is back");
    up(1.0).await;
    aka.create(PROJECT, "bob", "alice").await.expect("it is back");
}
