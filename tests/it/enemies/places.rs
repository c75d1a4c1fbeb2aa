//! The places of connections: clients that only take them do not keep others out.

use aka_test_support::http2::{GOAWAY, PREFACE, SETTINGS, frame};
use aka_test_support::{Aka, Backend, PROJECT, batch_request, eventually, start_with};
use aka_wire::pb::resolver_client::ResolverClient;
use std::io::{Read, Write};
use std::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

const PLACES: usize = 60;

on_backends!(idle_connections_make_room: sqlite);

/// Twice as many clients as there are places connect, and stay without a call. New clients come in,
/// and one that has a call under way is not sent away, though it came first.
async fn idle_connections_make_room(backend: Backend) {
    let places = PLACES.to_string();
    let (_database, aka) = start_with(backend, &["--max-connections", &places]).await;
    aka.create(PROJECT, "bob", "alice").await.expect("created");
    let (requests, receiver) = mpsc::channel(1);
    let mut resolver = ResolverClient::new(aka.new_channel());
    let answers = resolver.stream_resolve(ReceiverStream::new(receiver)).await;
    let mut answers = answers.expect("a stream").into_inner();
    let idle: Vec<_> = (0..2 * PLACES).map(|_| Idle::connect(&aka)).collect();
    eventually("some are sent away", async || {
        (aka.metric("aka_connections_closed_total", &["reason=\"idle\""]).await >= PLACES as f64)
            .then_some(())
    })
    .await;
    let mut newcomer = ResolverClient::new(aka.new_channel());
    let answer = newcomer.batch_resolve(batch_request(PROJECT, ["bob"])).await;
    assert_eq!(answer.expect("there is room").into_inner().aliases.len(), 1);
    requests.send(batch_request(PROJECT, ["bob"])).await.expect("the stream is open");
    let answer = answers.message().await.expect("an answer").expect("an answer");
    assert_eq!(answer.aliases.len(), 1);
    let mut first = idle.into_iter().next().expect("there are some");
    assert!(first.hears_goaway(), "the longest idle was told to go");
}

on_backends!(one_address_has_a_limit_of_its_own: sqlite);

async fn one_address_has_a_limit_of_its_own(backend: Backend) {
    let (_database, aka) = start_with(backend, &["--max-connections-per-peer", "3"]).await;
    let mut idle: Vec<_> = (0..3).map(|_| Idle::connect(&aka)).collect();
    // The server has taken all of them.
    for idle in &mut idle {
        idle.0.read_exact(&mut [0; 9]).expect("its settings");
    }
    let mut refused = TcpStream::connect(aka.grpc).expect("the kernel takes it");
    let patience = std::time::Duration::from_secs(20);
    refused.set_read_timeout(Some(patience)).expect("a time-out");
    assert_eq!(refused.read(&mut [0; 1]).expect("it is closed"), 0);
    let reason = "reason=\"too_many_of_peer\"";
    assert_eq!(aka.metric("aka_connections_closed_total", &[reason]).await, 1.0);
    let said = &aka.logged("max_connections_per_peer")[..];
    assert!(matches!(said, [line] if line.contains("127.0.0.1")), "{said:?}");
    idle.pop();
    eventually("a place is free", async || {
        let mut newcomer = ResolverClient::new(aka.new_channel());
        newcomer.batch_resolve(batch_request(PROJECT, ["bob"])).await.ok()
    })
    .await;
}

/// A client that opens a connection, and answers nothing.
struct Idle(TcpStream);

impl Idle {
    fn connect(aka: &Aka) -> Self {
        let mut stream = TcpStream::connect(aka.grpc).expect("the kernel takes it");
        let acknowledged = frame(4, 1, 0, &[]);
        stream.write_all(&[PREFACE, SETTINGS, &acknowledged].concat()).expect("room");
        Self(stream)
    }

    /// Reads until the server has closed the connection.
    fn hears_goaway(&mut self) -> bool {
        let mut head = [0; 9];
        let mut heard = false;
        while self.0.read_exact(&mut head).is_ok() {
            heard |= head[3] == GOAWAY;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            if self.0.read_exact(&mut vec![0; length as usize]).is_err() {
                break;
            }
        }
        heard
    }
}
