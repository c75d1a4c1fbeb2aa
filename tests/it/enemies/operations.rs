//! The operations port: clients that do not read do not keep a probe out.

use aka_test_support::{Backend, start};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// More than the port serves at once.
const CLIENTS: usize = 100;

on_backends!(a_probe_is_answered_whoever_does_not_read: sqlite);

async fn a_probe_is_answered_whoever_does_not_read(backend: Backend) {
    let (_database, aka) = start(backend).await;
    // The answers to so many requests fit into no buffer.
    let requests = "GET /metrics HTTP/1.1\r\nHost: aka\r\n\r\n".repeat(400);
    let deaf: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let mut client = TcpStream::connect(aka.metrics).expect("the kernel takes it");
            client.write_all(requests.as_bytes()).expect("room");
            client
        })
        .collect();
    let mut probe = TcpStream::connect(aka.metrics).expect("the kernel takes it");
    probe.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    let request = b"GET /livez HTTP/1.1\r\nHost: aka\r\nConnection: close\r\n\r\n";
    probe.write_all(request).expect("room");
    let mut answer = String::new();
    probe.read_to_string(&mut answer).expect("an answer in time");
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("alive\n"), "{answer}");
    drop(deaf);
}
