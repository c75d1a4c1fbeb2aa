//! Connections that are slow in five ways, more than there are places.

use aka_test_support::http2::{PREFACE, SETTINGS, frame, headers};
use aka_test_support::{Backend, PATIENCE, PROJECT, resolve_request, start_with};
use aka_wire::pb::resolver_client::ResolverClient;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};

/// How many connections: `AKA_SLOW_CONNECTIONS` takes its place. Each is a descriptor of two
/// processes.
const CONNECTIONS: usize = 1_000;

on_backends!(slow_connections_do_not_keep_others_out: sqlite);

async fn slow_connections_do_not_keep_others_out(backend: Backend) {
    let wanted = std::env::var("AKA_SLOW_CONNECTIONS").ok().and_then(|text| text.parse().ok());
    let connections = wanted.unwrap_or(CONNECTIONS);
    let places = (connections / 2).to_string();
    let (_database, aka) = start_with(backend, &["--max-connections", &places]).await;
    aka.create(PROJECT, "bob", "alice").await.expect("created");
    let mut slow: Vec<_> = (0..connections).map(|n| connect(aka.grpc, n % 5)).collect();
    for round in 0..5 {
        // Those that say something now and then.
        for (_, stream) in slow.iter_mut().enumerate().filter(|(n, _)| n % 5 > 2) {
            // The server may have ended it.
            let _ = stream.write(&frame(6, 0, 0, &[0; 8])[..1 + round]);
        }
        let served = tokio::time::timeout(PATIENCE, async {
            aka.resolve(PROJECT, "bob").await.expect("an answer");
            let mut newcomer = ResolverClient::new(aka.new_channel());
            newcomer.resolve(resolve_request(PROJECT, "bob")).await.expect("an answer");
        });
        assert!(served.await.is_ok(), "round {round}: honest clients are not served");
    }
    drop(slow);
}

/// Kinds: silent; half a preface; a preface alone; an open connection without a call; one with a
/// call that waits for its message.
fn connect(server: SocketAddr, kind: usize) -> TcpStream {
    let mut stream = TcpStream::connect(server).expect("the kernel takes it");
    let said = match kind {
        0 => vec![],
        1 => PREFACE[..10].to_vec(),
        2 => PREFACE.to_vec(),
        3 => [PREFACE, SETTINGS].concat(),
        _ => [PREFACE, SETTINGS, &headers(1)].concat(),
    };
    stream.write_all(&said).expect("room");
    stream
}
