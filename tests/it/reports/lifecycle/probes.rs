//! Probes and signals: health `Watch`, SIGTERM with idle streams, SIGHUP.

use aka_test_support::{
    Aka, Database, Engine, PROJECT, assert_refused, backend, eventually, shared_server, start_with,
};
use rustix::process::Signal;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};
use tonic_health::pb::health_check_response::ServingStatus::{
    self, NotServing, ServiceUnknown, Serving,
};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

/// Idle streams must not delay a stop. A busy machine may.
const AT_ONCE: Duration = Duration::from_secs(3);

/// A drain that a stop must not need.
const LONG_DRAIN: [&str; 2] = ["--drain-timeout-ms", "25000"];

async fn watch(aka: &Aka, service: &str) -> Streaming<HealthCheckResponse> {
    let request = HealthCheckRequest { service: service.to_owned() };
    let watched = HealthClient::new(aka.new_channel()).watch(request).await;
    watched.expect("a watch is never refused").into_inner()
}

async fn next(watched: &mut Streaming<HealthCheckResponse>) -> Option<ServingStatus> {
    let message = tokio::time::timeout(Duration::from_secs(20), watched.message()).await;
    let message = message.expect("in time").expect("no error");
    message.map(|message| message.status())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_says_what_changes_and_delays_no_stop() {
    let (_database, aka) = start_with(backend::sqlite(), &LONG_DRAIN).await;
    let mut unknown = watch(&aka, "aka.v1.Nobody").await;
    assert_eq!(next(&mut unknown).await, Some(ServiceUnknown));
    let request = HealthCheckRequest { service: "aka.v1.Nobody".to_owned() };
    let refused = HealthClient::new(aka.new_channel()).check(request).await;
    assert_refused(&refused.expect_err("unknown"), Code::NotFound, "NOT_FOUND");
    let mut known = Vec::new();
    for service in ["", "aka.v1.Resolver", "aka.v1.AliasAdmin"] {
        let mut watched = watch(&aka, service).await;
        let mut news = next(&mut watched).await;
        if news == Some(NotServing) {
            // Memory was not warm yet.
            news = next(&mut watched).await;
        }
        assert_eq!(news, Some(Serving), "{service:?}");
        known.push(watched);
    }
    let more = tokio::time::timeout(Duration::from_millis(200), unknown.message()).await;
    assert!(more.is_err(), "it stays open, and there is no news: {more:?}");

    let began = Instant::now();
    let news = async {
        for watched in &mut known {
            assert_eq!(next(watched).await, Some(NotServing));
            assert_eq!(next(watched).await, None, "the stream has ended");
        }
        assert_eq!(next(&mut unknown).await, None, "the stream has ended");
    };
    let (status, ()) = tokio::join!(aka.stop(), news);
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(began.elapsed() < AT_ONCE, "it took {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_stream_of_reflection_delays_no_stop() {
    let (_database, aka) = start_with(backend::sqlite(), &LONG_DRAIN).await;
    let (requests, receiver) = mpsc::channel(1);
    let message_request = Some(MessageRequest::ListServices(String::new()));
    let request = ServerReflectionRequest { host: String::new(), message_request };
    requests.send(request).await.expect("the stream is open");
    let mut client = ServerReflectionClient::new(aka.new_channel());
    let answers = client.server_reflection_info(ReceiverStream::new(receiver)).await;
    let mut answers = answers.expect("a stream").into_inner();
    answers.message().await.expect("an answer").expect("an answer");

    let began = Instant::now();
    let (status, end) = tokio::join!(aka.stop(), answers.message());
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(began.elapsed() < AT_ONCE, "it took {:?}", began.elapsed());
    assert!(end.expect("it ends in order").is_none());
    drop(requests);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sighup_ends_nothing() {
    let (_database, aka) = start_with(backend::sqlite(), &[]).await;
    for times in 1..=2 {
        aka.signal(Signal::HUP);
        let said = async || (aka.logged("SIGHUP").len() == times).then_some(());
        eventually("it says what SIGHUP did", said).await;
    }
    aka.create(PROJECT, "bob", "alice").await.expect("it still serves");
    let status = aka.stop().await;
    assert_eq!(status.code(), Some(0), "{status}");
}

/// Operators change a password while instances run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_password_file_is_read_at_the_next_connect() {
    let server = tokio::task::spawn_blocking(|| shared_server(Engine::MySql)).await;
    let server = server.expect("the shared server starts");
    let migrated = Database::create(backend::mysql_1()).await;
    let name = migrated.names().remove(0);
    server
        .execute(&format!(
            "CREATE USER rotated IDENTIFIED BY 'old-s3cr3t'; GRANT ALL ON {name}.* TO rotated"
        ))
        .await;
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("password");
    std::fs::write(&file, "old-s3cr3t\n").expect("it can be written");
    let url = format!("mysql://rotated@127.0.0.1:{}/{name}", server.port());
    let database = Database::at(vec![url]);
    let path = file.display().to_string();
    let aka = Aka::serve(&database, &["--shard-password-file", &path]).await;
    aka.create(PROJECT, "bob", "alice").await.expect("created");

    server.execute("ALTER USER rotated IDENTIFIED BY 'new-s3cr3t'").await;
    std::fs::write(&file, "new-s3cr3t\n").expect("it can be written");
    aka.signal(Signal::HUP);
    let mut owner = migrated.connect(0).await;
    let open = "SELECT COALESCE(CAST(MIN(id) AS SIGNED), 0) FROM information_schema.processlist \
        WHERE user = 'rotated' AND id <= ";
    let newest = owner
        .number(
            "SELECT CAST(MAX(id) AS SIGNED) FROM information_schema.processlist \
             WHERE user = 'rotated'",
        )
        .await;
    eventually("all connections with the old password are ended", async || {
        let id = owner.number(&format!("{open}{newest}")).await;
        if id > 0 {
            // It may have ended by itself meanwhile.
            server.execute(&format!("KILL {id}")).await;
        }
        (id == 0).then_some(())
    })
    .await;
    eventually("the new password is used", async || {
        aka.create(PROJECT, "carol", "alice").await.ok()
    })
    .await;
}
