//! A start waits for a database that cannot be reached, and answers probes meanwhile.

use aka_test_support::{Database, DbServer, Engine, Invocation, aka, eventually, free_port};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A database whose server is down, and the server.
async fn database_that_is_down() -> (Database, DbServer) {
    let server = tokio::task::spawn_blocking(|| DbServer::start(Engine::MariaDb)).await;
    let server = server.expect("the server starts");
    let database = Database::on(&[&server]).await;
    server.kill();
    (database, server)
}

/// An `aka serve` with its operations port at this port.
fn serve(database: &Database, port: u16) -> Invocation {
    let operations = format!("127.0.0.1:{port}");
    aka(["serve", "--listen", "127.0.0.1:0", "--metrics-listen", &operations])
        .args(database.flags())
}

/// The status and the body of an answer of the operations port. `None` while it is closed.
pub async fn probe(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: aka\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

async fn is_waiting(port: u16) {
    let (code, body) = eventually("it says what it waits for", async || {
        probe(port, "/readyz").await.filter(|(_, body)| body.contains("waiting"))
    })
    .await;
    assert_eq!(code, 503);
    assert!(body.contains("cannot reach mysql://"), "{body}");
    assert_eq!(probe(port, "/livez").await.map(|(code, _)| code), Some(200));
    assert_eq!(probe(port, "/status").await.map(|(code, _)| code), Some(503));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_serves_once_the_database_is_back() {
    let (database, server) = database_that_is_down().await;
    let port = free_port();
    let starting = tokio::spawn(serve(&database, port).serve());
    is_waiting(port).await;
    tokio::task::block_in_place(|| server.restart());
    let serving = starting.await.expect("it serves");
    eventually("it is ready", async || probe(port, "/readyz").await.filter(|it| it.0 == 200)).await;
    let ended = serving.stop().await;
    assert_eq!(ended.code, Some(0), "{ended}");
    assert!(ended.stderr.contains("waiting for a shard that can be used"), "{ended}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_stops_while_it_waits() {
    let (database, _server) = database_that_is_down().await;
    let port = free_port();
    let ended = serve(&database, port).stopped_after(is_waiting(port)).await;
    assert_eq!(ended.code, Some(0), "{ended}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_gives_up_in_time() {
    let (database, _server) = database_that_is_down().await;
    let serve = serve(&database, free_port()).args(["--start-timeout-s", "1"]);
    serve.run().await.failed(69, &["no shard can be used", "cannot reach"]);
}
