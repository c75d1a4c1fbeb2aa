//! The load on Redis and memcached: a closed loop over plain TCP. It is one thread with a task for
//! each connection, which has one request on its way. It does little for a request, because it runs
//! beside the server.

use crate::Fault;
use crate::keys;
use crate::sample::Sample;
use aka_load::{DrawnIds, LoadId};
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

/// How long the last answers may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A text protocol: its requests, and the ends of its answers.
pub trait Protocol: Copy + 'static {
    /// A line that is sent before the first request. The server answers it with `+OK`.
    fn greeting(self) -> Option<String>;
    /// Appends the request for these ids.
    fn request(self, ids: &[LoadId], out: &mut Vec<u8>);
    /// The length of the answer, or `None` while it is not complete. A wrong answer is a fault.
    fn answer(self, ids: &[LoadId], unread: &[u8]) -> Result<Option<usize>, Fault>;
}

/// How ids are asked for.
#[derive(Clone, Copy)]
pub struct Shape {
    pub connections: u64,
    /// Ids of a request.
    pub batch: usize,
}

struct Shared {
    drawn: DrawnIds,
    begin: Instant,
    end: Instant,
    answered: u64,
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
        // Before the clock starts, as this takes a while.
        let drawn = keys::drawn();
        let begin = Instant::now() + WARM_UP;
        let end = begin + duration;
        let latencies = Histogram::new_with_bounds(1_000, 60_000_000_000, 3)?;
        let shared = Shared { drawn, begin, end, answered: 0, latencies };
        let shared = Rc::new(RefCell::new(shared));
        let mut tasks = JoinSet::new();
        for stream in streams {
            tasks.spawn_local(client(protocol, shape.batch, stream, shared.clone()));
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
            ids_per_second: shared.answered as f64 / duration.as_secs_f64(),
            cpu_us: spent.as_secs_f64() * 1e6 / shared.answered.max(1) as f64,
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
    shared: Rc<RefCell<Shared>>,
) -> Result<(), Fault> {
    let mut ids = Vec::with_capacity(batch);
    let (mut request, mut unread) = (Vec::new(), Vec::with_capacity(64 << 10));
    let end = shared.borrow().end;
    loop {
        let sent = Instant::now();
        if sent >= end {
            return Ok(());
        }
        ids.clear();
        ids.extend((0..batch).map(|_| shared.borrow_mut().drawn.next_id()));
        request.clear();
        protocol.request(&ids, &mut request);
        stream.write_all(&request).await?;
        unread.clear();
        while protocol.answer(&ids, &unread)? != Some(unread.len()) {
            if stream.read_buf(&mut unread).await? == 0 {
                return Err("the server closed the connection".into());
            }
        }
        let now = Instant::now();
        let mut shared = shared.borrow_mut();
        if (shared.begin..=shared.end).contains(&now) {
            shared.answered += batch as u64;
            let latency = u64::try_from((now - sent).as_nanos())?;
            shared.latencies.saturating_record(latency);
        }
    }
}

/// Checks that `bytes` begins with `prefix`. `None` while there are too few bytes to know.
pub fn starts(bytes: &[u8], prefix: &[u8]) -> Result<Option<()>, Fault> {
    let there = bytes.len().min(prefix.len());
    if bytes[..there] != prefix[..there] {
        let answer = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]);
        let meant = String::from_utf8_lossy(prefix);
        return Err(format!("a wrong answer: {answer:?} and not {meant:?}").into());
    }
    Ok((there == prefix.len()).then_some(()))
}
