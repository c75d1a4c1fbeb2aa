//! A closed loop over plain TCP, for the two caches that speak text: one thread, a task for each
//! connection, one request on its way on each. As little as possible is done for a request, as this
//! runs beside the server.

use crate::Fault;
use crate::keys::{self, Draw};
use crate::sample::Sample;
use aka_test_support::cpu_time;
use hdrhistogram::Histogram;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const WARM_UP: Duration = Duration::from_millis(500);

/// Longer than any server may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A text protocol: how keys are asked for, and where an answer ends.
pub trait Protocol: Copy + 'static {
    /// What is said before the first request, which is answered with a line.
    fn greeting(self) -> Option<String>;
    fn request(self, keys: &[u32], out: &mut Vec<u8>);
    /// The length of the whole answer, once it is there. A wrong one is a fault.
    fn answer(self, keys: &[u32], unread: &[u8]) -> Result<Option<usize>, Fault>;
}

/// What to ask for, and how.
#[derive(Clone, Copy)]
pub struct Shape {
    pub connections: u64,
    /// Keys of a request.
    pub batch: usize,
}

struct Shared {
    begin: Instant,
    end: Instant,
    ids: u64,
    latencies: Histogram<u64>,
}

pub fn run<P: Protocol>(
    protocol: P,
    shape: Shape,
    address: SocketAddr,
    pid: u32,
    duration: Duration,
) -> Result<Sample, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())?;
    runtime.block_on(async {
        let mut streams = Vec::new();
        for _ in 0..shape.connections {
            streams.push(connect(protocol, address).await?);
        }
        let begin = Instant::now() + WARM_UP;
        let end = begin + duration;
        let latencies = Histogram::new_with_bounds(1_000, 60_000_000_000, 3)?;
        let shared = Rc::new(RefCell::new(Shared { begin, end, ids: 0, latencies }));
        let mut tasks = JoinSet::new();
        for (seed, stream) in (1..).zip(streams) {
            tasks.spawn_local(client(protocol, shape.batch, stream, seed, shared.clone()));
        }
        tokio::time::sleep_until(begin.into()).await;
        let before = cpu_time(pid)?;
        tokio::time::sleep_until(end.into()).await;
        let spent = cpu_time(pid)?.saturating_sub(before);
        while let Some(task) = tokio::time::timeout(PATIENCE, tasks.join_next()).await? {
            task??;
        }
        let shared = shared.borrow();
        let us = |quantile| shared.latencies.value_at_quantile(quantile) as f64 / 1e3;
        Ok(Sample {
            ids_per_second: shared.ids as f64 / duration.as_secs_f64(),
            cpu_us: spent.as_secs_f64() * 1e6 / shared.ids.max(1) as f64,
            p50_us: us(0.5),
            p99_us: us(0.99),
        })
    })
}

async fn connect<P: Protocol>(protocol: P, address: SocketAddr) -> Result<TcpStream, Fault> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    if let Some(greeting) = protocol.greeting() {
        stream.write_all(greeting.as_bytes()).await?;
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(stream.read_u8().await?);
        }
        if line != b"+OK\r\n" {
            return Err(format!("the server said {:?}", String::from_utf8_lossy(&line)).into());
        }
    }
    Ok(stream)
}

async fn client<P: Protocol>(
    protocol: P,
    batch: usize,
    mut stream: TcpStream,
    seed: u64,
    shared: Rc<RefCell<Shared>>,
) -> Result<(), Fault> {
    let (mut draw, mut keys) = (Draw::new(seed), Vec::with_capacity(batch));
    let (mut request, mut unread) = (Vec::new(), Vec::with_capacity(64 << 10));
    let end = shared.borrow().end;
    loop {
        let sent = Instant::now();
        if sent >= end {
            return Ok(());
        }
        keys.clear();
        keys.extend((0..batch).map(|_| draw.next()));
        request.clear();
        protocol.request(&keys, &mut request);
        stream.write_all(&request).await?;
        unread.clear();
        while protocol.answer(&keys, &unread)? != Some(unread.len()) {
            if stream.read_buf(&mut unread).await? == 0 {
                return Err("the server closed the connection".into());
            }
        }
        let now = Instant::now();
        let mut shared = shared.borrow_mut();
        if (shared.begin..=shared.end).contains(&now) {
            shared.ids += batch as u64;
            let latency = u64::try_from((now - sent).as_nanos())?;
            shared.latencies.saturating_record(latency);
        }
    }
}

/// `bytes` begins with `prefix`. Not yet known while it is only a part of it.
pub fn starts(bytes: &[u8], prefix: &[u8]) -> Result<Option<()>, Fault> {
    let there = bytes.len().min(prefix.len());
    if bytes[..there] != prefix[..there] {
        let answer = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]);
        let meant = String::from_utf8_lossy(prefix);
        return Err(format!("a wrong answer: {answer:?} and not {meant:?}").into());
    }
    Ok((there == prefix.len()).then_some(()))
}

/// Puts `user-…` of a key in place without formatting it anew.
pub fn put_canonical(number: u32, out: &mut Vec<u8>) {
    put_named(b"user-", number, out);
}

pub fn put_id(number: u32, out: &mut Vec<u8>) {
    put_named(b"bench-", number, out);
}

fn put_named(prefix: &[u8], number: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(prefix);
    out.extend_from_slice(b"00000000");
    out.extend(
        (0..8).rev().map(|place| b"0123456789abcdef"[(number >> (4 * place)) as usize & 15]),
    );
    debug_assert!(out.ends_with(&keys::id(number).as_bytes()[6..]));
}
