//! The memory that clients can make the server keep: answers that they do not read, and messages
//! that they do not end.

use aka_test_support::http2::{PREFACE, SETTINGS, data, frame, headers_of};
use aka_test_support::{
    Aka, Backend, Database, PROJECT, batch_request, create_request, eventually, start_with,
};
use aka_wire::frame::framed;
use aka_wire::pb::ListAliasesRequest;
use prost::Message;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::timeout;

/// The type of a frame that lets the other side send more.
const WINDOW_UPDATE: u8 = 8;

/// How many calls an enemy begins: as many as a connection may have.
const CALLS: u32 = 256;

/// A budget that the enemies could exceed many times.
const BUDGET: [&str; 2] = ["--request-memory-mib", "16"];
const BUDGET_BYTES: f64 = (16 << 20) as f64;

const BATCH: &str = "/aka.v1.Resolver/BatchResolve";
const STREAM: &str = "/aka.v1.Resolver/StreamResolve";
const CREATES: &str = "/aka.v1.AliasAdmin/BatchCreateAliases";
const HEALTH: &str = "/grpc.health.v1.Health/Check";
const LIST: &str = "/aka.v1.AliasAdmin/ListAliases";

/// A client that reads what it is sent, and never lets the server send an answer's data: the window
/// of its streams is 0.
struct Enemy {
    stream: TcpStream,
    /// How many bytes the server allows it to send, on all streams together.
    allowed: Arc<AtomicU64>,
    /// Told when the server allows more.
    updated: Arc<Notify>,
}

impl Drop for Enemy {
    fn drop(&mut self) {
        // The thread has a descriptor of its own. The server may have closed the connection.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

impl Enemy {
    fn of(aka: &Aka) -> Self {
        let mut stream = TcpStream::connect(aka.grpc).expect("the server listens");
        let no_window = frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]);
        stream.write_all(&[PREFACE, &no_window].concat()).expect("the server reads");
        // RFC 9113, section 6.9.2: the window before the first update.
        let allowed = Arc::new(AtomicU64::new(65_535));
        let (mut reader, counted) = (stream.try_clone().expect("a descriptor"), allowed.clone());
        let updated = Arc::new(Notify::new());
        let tell = updated.clone();
        std::thread::spawn(move || {
            let mut head = [0; 9];
            while reader.read_exact(&mut head).is_ok() {
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
                let mut payload = vec![0; length];
                if reader.read_exact(&mut payload).is_err() {
                    return;
                }
                if head[3] == WINDOW_UPDATE && head[5..] == [0; 4] {
                    let more = u32::from_be_bytes(payload.try_into().expect("four bytes"));
                    counted.fetch_add(u64::from(more), Ordering::AcqRel);
                    tell.notify_one();
                }
            }
        });
        Self { stream, allowed, updated }
    }

    /// Begins calls, and sends each of them these bytes, as long as the server allows it.
    async fn attack(&mut self, path: &str, bytes: &[u8], last: bool) {
        self.stream.write_all(SETTINGS).expect("the server reads");
        for call in (1..).step_by(2).take(CALLS as usize) {
            let may_send = async {
                while self.allowed.load(Ordering::Acquire) < bytes.len() as u64 {
                    self.updated.notified().await;
                }
            };
            if timeout(Duration::from_secs(2), may_send).await.is_err() {
                return;
            }
            self.allowed.fetch_sub(bytes.len() as u64, Ordering::AcqRel);
            let frames = [headers_of(call, path), data(call, bytes, last)].concat();
            // The server may close the connection of an enemy.
            if self.stream.write_all(&frames).is_err() {
                return;
            }
        }
    }
}

fn message(request: &impl Message) -> Vec<u8> {
    framed(request.encoded_len(), |buffer| request.encode_raw(buffer)).to_vec()
}

/// How many times calls were refused for lack of memory. Never above the budget meanwhile.
async fn refused(aka: &Aka) -> f64 {
    let held = aka.metric("aka_request_memory_bytes", &[]).await;
    assert!(held <= BUDGET_BYTES, "{held} bytes are held");
    aka.metric("aka_shed_total", &["reason=\"memory\""]).await
}

/// Waits until the server refuses, and checks that others are served and memory is bounded.
async fn is_bounded(aka: &Aka, before: u64) {
    eventually("the server refuses", async || (refused(aka).await > 0.0).then_some(())).await;
    let answer = aka.resolve(PROJECT, "alias-0").await.expect("others are served");
    assert_eq!(answer.canonical_id.len(), 255);
    let grown = resident_mib(aka).saturating_sub(before);
    assert!(grown < 100, "{grown} MiB more");
}

/// The memory of the server that is not on disk, in MiB.
pub fn resident_mib(aka: &Aka) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", aka.pid()));
    let status = status.expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") >> 10
}

/// A server with 500 aliases whose canonical id is as long as may be.
async fn victim(backend: Backend) -> (Database, Aka, u64) {
    let (database, aka) = start_with(backend, &BUDGET).await;
    let before = fill(&aka).await;
    (database, aka, before)
}

/// Creates the aliases. Returns the server's memory in MiB.
async fn fill(aka: &Aka) -> u64 {
    let canonical = "c".repeat(255);
    let requests = (0..500).map(|n| create_request(PROJECT, format!("alias-{n}"), &canonical));
    let created = aka.create_all(requests.collect()).await.expect("a batch");
    assert!(created.results.iter().all(|result| result.response.is_some()));
    let ids = (0..500).map(|n| format!("alias-{n}"));
    let ids: Vec<_> = ids.collect();
    aka.resolver().batch_resolve(batch_request(PROJECT, &ids)).await.expect("it remembers them");
    resident_mib(aka)
}

on_backends!(answers_that_nobody_reads_are_bounded: sqlite);

/// 1,000 answers of 132 KB each.
async fn answers_that_nobody_reads_are_bounded(backend: Backend) {
    let (_database, aka, before) = victim(backend).await;
    let ids: Vec<_> = (0..500).map(|n| format!("alias-{n}")).collect();
    let mut enemy = Enemy::of(&aka);
    enemy.attack(BATCH, &message(&batch_request(PROJECT, &ids)), true).await;
    is_bounded(&aka, before).await;
    drop(enemy);
    all_is_given_back(&aka).await;
}

/// So many that what the kernel keeps for them does not matter.
const DEAF: usize = 20;

on_backends!(answers_to_a_client_that_is_deaf_are_bounded: sqlite);

/// The windows are as wide as can be, so it is the socket that is full.
async fn answers_to_a_client_that_is_deaf_are_bounded(backend: Backend) {
    let database = Database::create(backend).await;
    let aka = Aka::serve_with_env(&database, &BUDGET, &[("AKA_UNREAD_MS", "3000")]).await;
    let before = fill(&aka).await;
    aka.create(PROJECT, "a", "d".repeat(255)).await.expect("created");
    // As many as there are calls fit into the first window of a connection.
    let request = message(&batch_request(PROJECT, ["a"; 80]));
    let window = |kind, bytes: u32, before: &[u8]| {
        frame(kind, 0, 0, &[before, &bytes.to_be_bytes()].concat())
    };
    let wide = window(4, i32::MAX as u32, &[0, 4]);
    let wide = [wide, window(WINDOW_UPDATE, (1 << 31) - (1 << 17), &[])].concat();
    let deaf: Vec<_> = (0..DEAF)
        .map(|_| {
            let mut deaf = TcpStream::connect(aka.grpc).expect("the server listens");
            deaf.write_all(&[PREFACE, &wide].concat()).expect("the server reads");
            for call in (1..).step_by(2).take(250) {
                let frames = [headers_of(call, BATCH), data(call, &request, true)].concat();
                deaf.write_all(&frames).expect("the server reads");
            }
            deaf
        })
        .collect();
    is_bounded(&aka, before).await;
    eventually("it is cut off", async || {
        let closed = aka.metric("aka_connections_closed_total", &["reason=\"unread\""]).await;
        (closed == DEAF as f64).then_some(())
    })
    .await;
    drop(deaf);
    all_is_given_back(&aka).await;
}

on_backends!(pages_that_nobody_reads_are_bounded: sqlite);

async fn pages_that_nobody_reads_are_bounded(backend: Backend) {
    let (_database, aka, before) = victim(backend).await;
    let canonical_id = "c".repeat(255).into();
    let list = ListAliasesRequest {
        project_id: PROJECT,
        canonical_id,
        page_size: 500,
        page_token: String::new(),
    };
    let mut enemy = Enemy::of(&aka);
    enemy.attack(LIST, &message(&list), true).await;
    is_bounded(&aka, before).await;
    drop(enemy);
    all_is_given_back(&aka).await;
}

on_backends!(messages_without_an_end_are_bounded: sqlite);

/// Each is 60 KB of a message of a megabyte.
async fn messages_without_an_end_are_bounded(backend: Backend) {
    for path in [BATCH, STREAM, CREATES, HEALTH] {
        let (_database, aka, before) = victim(backend).await;
        let mut half = vec![0; 60_000];
        half[..5].copy_from_slice(&[0, 0, 16, 0, 0]);
        let mut enemy = Enemy::of(&aka);
        enemy.attack(path, &half, false).await;
        is_bounded(&aka, before).await;
        // The client stays. Its calls end, because the rest does not come.
        all_is_given_back(&aka).await;
        drop(enemy);
    }
}

on_backends!(messages_that_wait_for_a_shard_are_bounded: sqlite);

/// All ask for the same ids, so they wait for one load and need no room in a queue.
async fn messages_that_wait_for_a_shard_are_bounded(backend: Backend) {
    let database = Database::create(backend).await;
    let gates = tempfile::tempdir().expect("a temporary folder can be made");
    let gate = gates.path().join("landing");
    let folder = gates.path().display().to_string();
    let flags = [&BUDGET[..], &["--filter", "false", "--lanes", "1"]].concat();
    let aka = Aka::serve_with_env(&database, &flags, &[("AKA_HOLD_DIR", &folder)]).await;
    std::fs::write(&gate, "").expect("the gate closes");
    let ids: Vec<_> = (0..300).map(|n| format!("{n:0>200}")).collect();
    let mut enemy = Enemy::of(&aka);
    enemy.attack(BATCH, &message(&batch_request(PROJECT, &ids)), true).await;
    eventually("the server refuses", async || (refused(&aka).await > 0.0).then_some(())).await;
    std::fs::remove_file(&gate).expect("the gate opens");
    drop(enemy);
    all_is_given_back(&aka).await;
}

async fn all_is_given_back(aka: &Aka) {
    eventually("all memory is given back", async || {
        (aka.metric("aka_request_memory_bytes", &[]).await == 0.0).then_some(())
    })
    .await;
}
