//! Clients are told to go elsewhere before they are turned away: when an instance stops, and when a
//! connection is old.

use super::waiting::probe;
use aka_test_support::http2::{GOAWAY, PREFACE, SETTINGS};
use aka_test_support::{
    Aka, Backend, PROJECT, assert_refused, batch_request, eventually, start_with, was_not_sent,
};
use aka_wire::pb::resolver_client::ResolverClient;
use rustix::process::Signal;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus::{NotServing, Serving};
use tonic_health::pb::health_client::HealthClient;

/// A client that never answers, and takes no notice of what it is told.
fn deaf_client(aka: &Aka) -> TcpStream {
    let mut stream = TcpStream::connect(aka.grpc).expect("the server listens");
    stream.write_all(&[PREFACE, SETTINGS].concat()).expect("the server reads");
    stream
}

/// The types of the frames that arrive until nothing does for a while, and whether the connection was
/// closed then.
fn frames(stream: &mut TcpStream, quiet: Duration) -> (Vec<u8>, bool) {
    stream.set_read_timeout(Some(quiet)).expect("a time-out can be set");
    let mut types = Vec::new();
    loop {
        let mut head = [0; 9];
        match stream.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return (types, false),
            Err(_) => return (types, true),
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        stream.read_exact(&mut vec![0; length as usize]).expect("the rest of the frame");
        types.push(head[3]);
    }
}

on_backends!(a_stop_is_announced: sqlite);

async fn a_stop_is_announced(backend: Backend) {
    let (_database, aka) = start_with(backend, &["--drain-delay-ms", "4000"]).await;
    aka.create(PROJECT, "bob", "alice").await.expect("created");
    let watched = HealthClient::new(aka.channel()).watch(HealthCheckRequest::default()).await;
    let mut watched = watched.expect("a watch").into_inner();
    eventually("it is ready", async || {
        let news = watched.message().await.expect("no error").expect("news");
        (news.status() == Serving).then_some(())
    })
    .await;

    let began = Instant::now();
    aka.signal(Signal::TERM);
    let news = watched.message().await.expect("no error").expect("news");
    assert_eq!(news.status(), NotServing);
    assert_eq!(probe(aka.metrics.port(), "/readyz").await, Some((503, "stopping\n".to_owned())));
    // Old connections and new ones are served as ever.
    for _ in 0..20 {
        for channel in [aka.channel(), aka.new_channel()] {
            let mut resolver = ResolverClient::new(channel);
            let batch = resolver.batch_resolve(batch_request(PROJECT, ["bob"])).await;
            assert_eq!(batch.expect("an answer").into_inner().aliases.len(), 1);
        }
    }
    let mut newcomer = deaf_client(&aka);
    let (types, closed) = frames(&mut newcomer, Duration::from_millis(300));
    assert!(!types.contains(&GOAWAY) && !closed, "{types:?}");
    assert!(watched.message().await.expect("no error").is_none(), "it ends with the delay");
    assert!(began.elapsed() >= Duration::from_secs(4), "the delay is not over");
    let (types, closed) = frames(&mut newcomer, Duration::from_secs(8));
    assert!(types.contains(&GOAWAY) && closed, "{types:?}");
    let ended = aka.ended().await;
    assert_eq!(ended.code(), Some(0), "{ended}");
}

on_backends!(a_second_signal_ends_at_once: sqlite);

async fn a_second_signal_ends_at_once(backend: Backend) {
    let (_database, aka) = start_with(backend, &["--drain-delay-ms", "60000"]).await;
    aka.signal(Signal::TERM);
    eventually("it has heard the first", async || aka.logged("stopping").pop()).await;
    aka.signal(Signal::INT);
    let ended = aka.ended().await;
    assert_eq!(ended.code(), Some(1), "{ended}");
}

on_backends!(a_client_without_calls_delays_no_stop: sqlite);

async fn a_client_without_calls_delays_no_stop(backend: Backend) {
    let (_database, aka) = start_with(backend, &["--drain-timeout-ms", "60000"]).await;
    let mut client = deaf_client(&aka);
    assert!(!frames(&mut client, Duration::from_millis(300)).1, "it is served");
    // It answers neither the GOAWAY nor the ping, so only its lack of calls lets it go.
    let ended = aka.stop().await;
    assert_eq!(ended.code(), Some(0), "{ended}");
    assert!(frames(&mut client, Duration::from_secs(1)).1, "it is closed");
}

on_backends!(old_connections_end_in_order: sqlite);

async fn old_connections_end_in_order(backend: Backend) {
    let flags = ["--max-connection-age-s", "2", "--drain-timeout-ms", "60000"];
    let (_database, aka) = start_with(backend, &flags).await;
    aka.create(PROJECT, "bob", "alice").await.expect("created");
    let mut deaf = deaf_client(&aka);
    let (requests, receiver) = mpsc::channel(1);
    let mut resolver = ResolverClient::new(aka.new_channel());
    let answers = resolver.stream_resolve(ReceiverStream::new(receiver)).await;
    let mut answers = answers.expect("a stream").into_inner();
    requests.send(batch_request(PROJECT, ["bob"])).await.expect("the stream is open");
    let answer = answers.message().await.expect("an answer").expect("an answer");
    assert_eq!(answer.aliases.len(), 1);

    let watched = HealthClient::new(aka.new_channel()).watch(HealthCheckRequest::default()).await;
    let mut watched = watched.expect("a watch").into_inner();

    // No call on an old connection fails.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(5) {
        match aka.resolve(PROJECT, "bob").await {
            Ok(answer) => assert_eq!(answer.canonical_id, "alice"),
            Err(status) => assert!(was_not_sent(&status), "a call failed: {status:?}"),
        }
    }
    let last = answers.message().await.expect_err("the stream is ended");
    assert_refused(&last, Code::Unavailable, "SHUTTING_DOWN");
    drop(requests);
    while let Some(news) = watched.message().await.expect("it ends in order") {
        assert_eq!(news.status(), Serving);
    }
    let (types, closed) = frames(&mut deaf, Duration::from_secs(8));
    assert!(types.contains(&GOAWAY) && closed, "{types:?}");
}
