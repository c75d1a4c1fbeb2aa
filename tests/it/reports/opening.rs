//! How a connection begins: what a client may do, and what ends the connection.
//!
//! A client based on gRPC's C core was once told GOAWAY with `PROTOCOL_ERROR` in its first second.

use aka_test_support::http2::{GOAWAY, PING, PREFACE, RST_STREAM, frame, headers};
use aka_test_support::{Aka, Backend, PROJECT, batch_request, start};
use prost::Message;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

on_backends!(what_a_client_may_do_ends_no_connection: sqlite);
on_backends!(only_what_the_protocol_forbids_is_a_protocol_error: sqlite);

const DATA: u8 = 0;
const PRIORITY: u8 = 2;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;

/// As long as anything may take before the server is said not to answer.
const NEVER: Duration = Duration::from_secs(20);

/// Settings by number and value.
fn settings(settings: &[(u16, u32)]) -> Vec<u8> {
    let bytes =
        |(number, value): &(u16, u32)| [&number.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(SETTINGS, 0, 0, &settings.iter().flat_map(bytes).collect::<Vec<u8>>())
}

fn window_update(stream: u32, bytes: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes())
}

/// The message of a batch, as the whole body of a call.
fn body(stream: u32) -> Vec<u8> {
    let message = batch_request(PROJECT, ["bob", "eve"]).encode_to_vec();
    let length = u32::try_from(message.len()).expect("short").to_be_bytes();
    frame(DATA, END_STREAM, stream, &[&[0][..], &length, &message].concat())
}

/// Settings as gRPC's C core sends them: no push, a window, a limit of headers, and one of its own.
fn first_settings() -> Vec<u8> {
    settings(&[(2, 0), (3, 0), (4, 4 << 20), (5, 4 << 20), (6, 16 << 10), (0xfe03, 1)])
}

/// All that a client sends before it has heard anything: calls, some of which it gives up, probes of
/// the bandwidth, and windows that grow and shrink with them.
fn opening() -> Vec<u8> {
    [
        PREFACE.to_vec(),
        first_settings(),
        window_update(0, 1 << 20),
        headers(1),
        body(1),
        frame(PING, 0, 0, b"bandwid1"),
        headers(3),
        frame(RST_STREAM, 0, 3, &8_u32.to_be_bytes()),
        frame(SETTINGS, ACK, 0, b""),
        settings(&[(4, 8 << 20)]),
        headers(5),
        settings(&[(4, 1 << 10), (5, 1 << 14)]),
        body(5),
        headers(9),
        frame(DATA, 0, 9, b"\0\0"),
        frame(RST_STREAM, 0, 9, &8_u32.to_be_bytes()),
        // About calls that have ended by now, or were never begun because a later one was.
        window_update(1, 100),
        window_update(7, 100),
        frame(RST_STREAM, 0, 7, &8_u32.to_be_bytes()),
        frame(RST_STREAM, 0, 3, &8_u32.to_be_bytes()),
        frame(PRIORITY, 0, 11, &[0, 0, 0, 1, 15]),
        headers(11),
        body(11),
    ]
    .concat()
}

async fn what_a_client_may_do_ends_no_connection(backend: Backend) {
    let (_database, aka) = start(backend).await;
    let whole = opening();
    // Wherever the network cuts it: the connection is new each time.
    for cut in 0..=whole.len() {
        let mut stream = connect(&aka).await;
        let (before, after) = whole.split_at(cut);
        stream.write_all(before).await.expect("sent");
        // The server has most likely read that by itself.
        tokio::task::yield_now().await;
        stream.write_all(after).await.expect("sent");
        let ended = goaway(&mut stream).await;
        assert_eq!(ended, None, "cut after {cut} bytes");
    }
    // More calls than one connection may have at once, before the client knows how many that is.
    let mut stream = connect(&aka).await;
    let calls = || (1..2_600).step_by(2);
    let many: Vec<u8> = calls().flat_map(|id| [headers(id), body(id)].concat()).collect();
    let given_up = calls().flat_map(|id| frame(RST_STREAM, 0, id, &8_u32.to_be_bytes()));
    let given_up: Vec<u8> = given_up.collect();
    let (mut reader, mut writer) = stream.split();
    let sending = async {
        writer.write_all(&[PREFACE, &first_settings()].concat()).await.expect("sent");
        writer.write_all(&many).await.expect("sent");
        writer.write_all(&given_up).await.expect("sent");
        writer.write_all(&frame(PING, 0, 0, b"yet here")).await.expect("sent");
    };
    let ((), ended) = tokio::join!(sending, until_answered(&mut reader));
    assert_eq!(ended, None, "many calls");
}

/// Where a client sees `PROTOCOL_ERROR` it has done one of these (RFC 9113, sections 5.1 and 5.1.1).
async fn only_what_the_protocol_forbids_is_a_protocol_error(backend: Backend) {
    let (_database, aka) = start(backend).await;
    let begun = [PREFACE, &first_settings(), &headers(5), &body(5)].concat();
    for (what, forbidden) in [
        ("a call is given up before it is begun", frame(RST_STREAM, 0, 7, &8_u32.to_be_bytes())),
        ("a call sends before it is begun", body(7)),
        ("a call gives credit before it is begun", window_update(7, 100)),
        ("a call is begun after one with a higher number", headers(3)),
        ("a server's number", headers(6)),
        ("no credit", window_update(0, 0)),
        ("settings are acknowledged twice", frame(SETTINGS, ACK, 0, b"").repeat(2)),
    ] {
        let mut stream = connect(&aka).await;
        stream.write_all(&[&begun[..], &forbidden].concat()).await.expect("sent");
        assert_eq!(goaway(&mut stream).await, Some(1), "{what}");
    }
    aka.resolve(PROJECT, "bob").await.expect("others go on");
}

async fn connect(aka: &Aka) -> TcpStream {
    let stream = TcpStream::connect(aka.grpc).await.expect("the server listens");
    stream.set_nodelay(true).expect("TCP can");
    stream
}

/// Asks whether the connection is still there. The code of the GOAWAY if it is not.
async fn goaway(stream: &mut TcpStream) -> Option<u32> {
    // It fails if the connection has ended, which reading then shows.
    let _ = stream.write_all(&frame(PING, 0, 0, b"yet here")).await;
    until_answered(stream).await
}

/// Reads until the last PING is answered, or until a GOAWAY: its code.
async fn until_answered(reader: &mut (impl AsyncReadExt + Unpin)) -> Option<u32> {
    let answer = async {
        loop {
            let mut head = [0; 9];
            reader.read_exact(&mut head).await.expect("a frame");
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            reader.read_exact(&mut payload).await.expect("a frame");
            match (head[3], &payload[..]) {
                (GOAWAY, [_, _, _, _, code @ ..]) => {
                    return Some(u32::from_be_bytes(code[..4].try_into().expect("four bytes")));
                }
                (PING, b"yet here") => return None,
                _ => {}
            }
        }
    };
    tokio::time::timeout(NEVER, answer).await.expect("an answer in time")
}
