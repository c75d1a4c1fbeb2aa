//! Frames that do harm: floods of each kind, resets, endless headers, bombs, windows that never open,
//! answers that nobody reads. Under each attack an honest client goes on, and a new one comes in.

use super::attack::Attack;
use super::memory::resident_mib;
use aka_test_support::http2::{data, frame, headers_of};
use aka_test_support::{
    Aka, Backend, PATIENCE, PROJECT, batch_request, eventually, resolve_request, start_with,
};
use aka_wire::frame::framed;
use aka_wire::pb::resolver_client::ResolverClient;
use prost::Message;
use std::sync::Arc;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

// Types of frames (RFC 9113, section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

const BATCH: &str = "/aka.v1.Resolver/BatchResolve";
const STREAM: &str = "/aka.v1.Resolver/StreamResolve";
const HEALTH: &str = "/grpc.health.v1.Health/Check";
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
const CREATES: &str = "/aka.v1.AliasAdmin/BatchCreateAliases";

/// As many calls as a connection may have.
const CALLS: u32 = 250;

/// What clients can make the server keep.
const BUDGET_MIB: &str = "128";

/// How much more memory an attack may cost.
const MOST_MIB: u64 = 256;

/// How many answers the honest client gets under each attack.
const ANSWERS: usize = 50;

fn many(frame: Vec<u8>) -> Vec<u8> {
    frame.repeat(500)
}

/// The number of a client's nth stream.
fn stream(n: u32) -> u32 {
    // A connection has 2^30 of them.
    2 * (n % (1 << 30)) + 1
}

/// Calls that wait for their message.
fn open_calls(path: &str) -> Vec<u8> {
    (0..CALLS).flat_map(|n| headers_of(stream(n), path)).collect()
}

fn window(bytes: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&[0, 4][..], &bytes.to_be_bytes()].concat())
}

fn more(stream: u32, bytes: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes())
}

/// A batch whose answer has a hundred times its length. As many as there are calls fit into the first
/// window of a connection.
static LARGE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let request = batch_request(PROJECT, ["a"; 80]);
    framed(request.encoded_len(), |buffer| request.encode_raw(buffer)).to_vec()
});

/// Frames that are no calls.
fn floods() -> Vec<Attack> {
    vec![
        Attack::flood("PING", vec![], |_| many(frame(PING, 0, 0, &[0; 8]))),
        Attack::flood("answers to pings", vec![], |_| many(frame(PING, 1, 0, &[0; 8]))),
        Attack::flood("empty SETTINGS", vec![], |_| many(frame(SETTINGS, 0, 0, &[]))),
        Attack::flood("SETTINGS of windows", open_calls(BATCH), |n| {
            [window(n % 2 + 1), window(n % 2 + 3)].concat().repeat(100)
        }),
        Attack::flood("windows of streams", open_calls(BATCH), |n| {
            many(more(stream(n % CALLS), 1))
        }),
        Attack::flood("windows of the connection", vec![], |_| many(more(0, 1))),
        Attack::flood("PRIORITY", vec![], |n| {
            many(frame(PRIORITY, 0, stream(n), &[0, 0, 0, 0, 9]))
        }),
        Attack::flood("unknown frames", vec![], |_| many(frame(77, 0, 0, b"what?"))),
        Attack::flood("DATA without bytes", open_calls(STREAM), |_| many(frame(DATA, 0, 1, &[]))),
        Attack::borne("GOAWAY", vec![], |_| many(frame(GOAWAY, 0, 0, &[0; 8]))),
        Attack::borne("RST_STREAM of no stream", vec![], |n| {
            many(frame(RST_STREAM, 0, stream(n), &[0, 0, 0, 8]))
        }),
        // CVE-2019-9511: answers leave one byte at a time.
        Attack::borne("windows of one byte", [window(0), large_calls()].concat(), |n| {
            more(stream(n % CALLS), 1)
        }),
    ]
}

fn large_calls() -> Vec<u8> {
    (0..CALLS)
        .flat_map(|n| [headers_of(stream(n), BATCH), data(stream(n), &LARGE, true)].concat())
        .collect()
}

/// A call that is to be reset, by its client or (CVE-2025-8671, MadeYouReset) by the server, because
/// this follows.
fn reset_by(n: u32, faulty: Vec<u8>) -> Vec<u8> {
    let call = headers_of(stream(n), BATCH);
    [call, faulty].concat()
}

fn resets() -> Vec<Attack> {
    vec![
        // CVE-2023-44487.
        Attack::borne("rapid reset", vec![], |n| {
            reset_by(n, frame(RST_STREAM, 0, stream(n), &[0, 0, 0, 8]))
        }),
        Attack::borne("MadeYouReset: no more window", vec![], |n| reset_by(n, more(stream(n), 0))),
        Attack::borne("MadeYouReset: too much window", vec![], |n| {
            reset_by(n, more(stream(n), i32::MAX as u32))
        }),
        Attack::borne("MadeYouReset: PRIORITY of four bytes", vec![], |n| {
            reset_by(n, frame(PRIORITY, 0, stream(n), &[0; 4]))
        }),
        Attack::borne("MadeYouReset: depends on itself", vec![], |n| {
            let itself = [&stream(n).to_be_bytes()[..], &[1]].concat();
            reset_by(n, frame(PRIORITY, 0, stream(n), &itself))
        }),
        Attack::borne("MadeYouReset: DATA after the end", vec![], |n| {
            let end = frame(DATA, END_STREAM, stream(n), &[]);
            reset_by(n, [end, frame(DATA, 0, stream(n), b"more")].concat())
        }),
        Attack::borne("MadeYouReset: HEADERS after the end", vec![], |n| {
            let end = frame(DATA, END_STREAM, stream(n), &[]);
            reset_by(n, [end, headers_of(stream(n), BATCH)].concat())
        }),
    ]
}

fn headers() -> Vec<Attack> {
    vec![
        // CVE-2024-27316 and others.
        Attack::borne("CONTINUATION without end", frame(HEADERS, 0, 1, &[0x83]), |_| {
            many(frame(CONTINUATION, 0, 1, &[0x86]))
        }),
        Attack::borne("empty CONTINUATION", frame(HEADERS, 0, 1, &[0x83]), |_| {
            many(frame(CONTINUATION, 0, 1, &[]))
        }),
        // A name and a value of 4,000 bytes that the server remembers, and refers to many times.
        Attack::borne("HPACK bomb", vec![], |n| {
            let remembered = [&[0x40, 0x01, b'x', 0x7f, 0xa1, 0x1e][..], &[b'v'; 4_000]].concat();
            let block = [&[0x83, 0x86][..], &remembered, &[0xbe; 12_000]].concat();
            frame(HEADERS, END_HEADERS | END_STREAM, stream(n), &block)
        }),
        Attack::borne("headers of 15 KB", vec![], |n| {
            let value = [&[0x00, 0x01, b'x', 0x7f, 0x99, 0x74][..], &[b'v'; 15_000]].concat();
            let path = [&[0x83, 0x86, 0x04, CREATES.len() as u8][..], CREATES.as_bytes()].concat();
            let block = [&path[..], b"\x0f\x10\x10application/grpc", &value].concat();
            frame(HEADERS, END_HEADERS, stream(n), &block)
        }),
        Attack::borne("sizes of the table", vec![], |n| {
            let sizes = [0x20, 0x3f, 0xe1, 0x1f].repeat(4_000);
            frame(HEADERS, END_HEADERS | END_STREAM, stream(n), &sizes)
        }),
    ]
}

/// What makes the server keep something.
fn unread() -> Vec<Attack> {
    let wide = [window(i32::MAX as u32), more(0, i32::MAX as u32 - 65_535)].concat();
    let half = |path| {
        let mut message = vec![0; 200];
        message[..5].copy_from_slice(&[0, 0, 16, 0, 0]);
        let part = |n| [headers_of(stream(n), path), data(stream(n), &message, false)].concat();
        (0..CALLS).flat_map(part).collect::<Vec<_>>()
    };
    let messages = |n| [headers_of(stream(n), STREAM), data(stream(n), &LARGE, false)].concat();
    let streams: Vec<u8> = (0..CALLS).flat_map(messages).collect();
    let nothing = |_| vec![];
    vec![
        Attack::borne("windows that never open", [window(0), large_calls()].concat(), nothing),
        Attack {
            reads: false,
            ..Attack::borne("unread answers", [wide, large_calls()].concat(), nothing)
        },
        Attack::borne("half a batch", half(BATCH), nothing),
        Attack::borne("half a message of a stream", half(STREAM), nothing),
        Attack::borne("half a create", half(CREATES), nothing),
        Attack::borne("half a check", half(HEALTH), nothing),
        Attack::borne("half a question", half(REFLECTION), nothing),
        // Each stream waits for its client to read, and its client has sent more.
        Attack::borne("streams whose answers are not read", [window(0), streams].concat(), nothing),
    ]
}

on_backends!(floods_are_ended: sqlite);
on_backends!(resets_are_borne: sqlite);
on_backends!(endless_headers_are_borne: sqlite);
on_backends!(what_nobody_reads_is_borne: sqlite);

async fn floods_are_ended(backend: Backend) {
    all_are_withstood(backend, floods()).await;
}

async fn resets_are_borne(backend: Backend) {
    all_are_withstood(backend, resets()).await;
}

async fn endless_headers_are_borne(backend: Backend) {
    all_are_withstood(backend, headers()).await;
}

async fn what_nobody_reads_is_borne(backend: Backend) {
    all_are_withstood(backend, unread()).await;
}

async fn all_are_withstood(backend: Backend, attacks: Vec<Attack>) {
    let (_database, aka) = start_with(backend, &["--request-memory-mib", BUDGET_MIB]).await;
    let canonical = "c".repeat(255);
    for alias in ["a", "bob"] {
        aka.create(PROJECT, alias, &canonical).await.expect("created");
    }
    let before = resident_mib(&aka);
    for attack in attacks {
        withstands(&aka, attack, before).await;
    }
}

/// Attacks until an honest client has got all its answers, and a new one has come in.
async fn withstands(aka: &Aka, attack: Attack, before: u64) {
    let (name, reason) = (attack.name, attack.closed.map(|reason| format!("reason=\"{reason}\"")));
    let closed = async || match &reason {
        Some(reason) => aka.metric("aka_connections_closed_total", &[reason]).await,
        None => 0.0,
    };
    let closed_before = closed().await;
    let (attack, began) = (Arc::new(attack).begin(aka.grpc), Instant::now());
    let in_time = tokio::time::timeout(PATIENCE, async {
        // Not before the server is busy with it.
        while attack.sent() < 200_000 && began.elapsed() < Duration::from_secs(1) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        for _ in 0..ANSWERS {
            aka.resolve(PROJECT, "bob").await.expect("an answer");
        }
        let mut newcomer = ResolverClient::new(aka.new_channel());
        newcomer.resolve(resolve_request(PROJECT, "bob")).await.expect("an answer");
    });
    assert!(in_time.await.is_ok(), "{name}: honest clients are not served");
    if reason.is_some() {
        eventually(name, async || (closed().await > closed_before).then_some(())).await;
    }
    let grown = resident_mib(aka).saturating_sub(before);
    println!("{name}: {:?}, {} KB, {grown} MiB", began.elapsed(), attack.sent() >> 10);
    assert!(grown <= MOST_MIB, "{name}: {grown} MiB more");
    attack.stop();
}
