//! The audit trail: takes lines from the calls, and writes them on a thread of its own.
//!
//! A call never waits for the disk. If lines come faster than they are written, or cannot be written,
//! they are lost, and counted.

use super::entry::{AuditEntry, AuditedItem, AuditedOutcome, AuditedRequest, now};
use super::file::AuditFile;
use crate::metrics::{AuditLineResult, Metrics};
use aka_core::write::Author;
use parking_lot::Mutex;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// The target of the lines, in them and for the filter of the log.
const TARGET: &str = "aka::audit";

/// The most lines, and the most bytes of lines, that wait to be written.
const MOST_LINES: usize = 16_384;
const MOST_BYTES: usize = 32 << 20;

/// The most bytes that are written at once, if they wait.
const AT_ONCE: usize = 64 << 10;

/// How long a stop waits until what waits is written.
const LAST_LINES: Duration = Duration::from_secs(3);

/// Where lines go to.
pub enum AuditSink {
    File(Arc<AuditFile>),
    /// To standard error, where the log is, if its filter lets the target through.
    Log,
}

/// The trail. Clones are the same.
#[derive(Clone)]
pub struct AuditTrail(Option<Arc<LineQueue>>);

struct LineQueue {
    lines: SyncSender<Message>,
    waiting: AtomicUsize,
    metrics: Arc<Metrics>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

enum Message {
    Line(String),
    /// Nothing comes after it.
    End,
}

impl AuditTrail {
    /// A trail that keeps nothing.
    pub fn none() -> Self {
        Self(None)
    }

    /// Starts the thread that writes.
    ///
    /// # Errors
    /// If there can be none.
    pub fn start(sink: AuditSink, metrics: Arc<Metrics>) -> io::Result<Self> {
        let (lines, received) = sync_channel(MOST_LINES);
        let (waiting, writer) = (AtomicUsize::new(0), Mutex::new(None));
        let queue = Arc::new(LineQueue { lines, waiting, metrics, writer });
        let of_writer = queue.clone();
        let thread = std::thread::Builder::new().name("aka-audit".to_owned());
        let thread = thread.spawn(move || write_lines(&received, &sink, &of_writer))?;
        *queue.writer.lock() = Some(thread);
        Ok(Self(Some(queue)))
    }

    /// A call begins. `method` is its name in the line.
    pub fn begin(
        &self,
        method: &'static str,
        peer: Option<SocketAddr>,
        author: &Author,
    ) -> AuditedCall {
        let Some(queue) = self.0.clone() else { return AuditedCall(None) };
        let entry = AuditEntry {
            time: String::new(),
            target: TARGET,
            operation: author.operation.to_string(),
            principal: author.principal.as_deref().map(ToOwned::to_owned),
            peer: peer.map(|peer| peer.to_string()),
            method,
            asked: AuditedRequest::default(),
            // If nobody says anything else, the client has left.
            outcome: AuditedOutcome { outcome: "CANCELLED", ..AuditedOutcome::default() },
            items: Vec::new(),
            note: author.reason.as_deref().map(ToOwned::to_owned),
        };
        AuditedCall(Some(Arc::new(LineToCome { queue, entry: Mutex::new(entry) })))
    }

    /// Writes what waits, for some seconds at most.
    pub async fn finish(&self) {
        let Some(queue) = self.0.clone() else { return };
        let ending = tokio::task::spawn_blocking(move || {
            // If the thread has ended, nothing waits.
            let _ = queue.lines.send(Message::End);
            let writer = queue.writer.lock().take();
            writer.map(JoinHandle::join)
        });
        if tokio::time::timeout(LAST_LINES, ending).await.is_err() {
            tracing::warn!("the last lines of the audit trail could not be written in time");
        }
    }
}

impl LineQueue {
    fn lost(&self, lines: u64) {
        self.metrics.audit_lines.of(AuditLineResult::Lost).increment(lines);
    }

    fn push(&self, line: String) {
        let length = line.len();
        let before = self.waiting.fetch_add(length, Ordering::Relaxed);
        let is_room = before + length <= MOST_BYTES;
        if !is_room || self.lines.try_send(Message::Line(line)).is_err() {
            self.waiting.fetch_sub(length, Ordering::Relaxed);
            self.lost(1);
        }
    }
}

/// An admin call under way. Clones are the same. Its line is made when the last one is dropped.
#[derive(Clone)]
pub struct AuditedCall(Option<Arc<LineToCome>>);

struct LineToCome {
    queue: Arc<LineQueue>,
    entry: Mutex<AuditEntry>,
}

impl AuditedCall {
    /// One that makes no line.
    pub fn none() -> Self {
        Self(None)
    }

    /// What the message asks for.
    pub fn asks(&self, asked: impl FnOnce() -> AuditedRequest) {
        if let Some(line) = &self.0 {
            line.entry.lock().asked = asked();
        }
    }

    /// The items of a batch, with what came of each.
    pub fn items(&self, items: impl FnOnce() -> Vec<AuditedItem>) {
        if let Some(line) = &self.0 {
            line.entry.lock().items = items();
        }
    }

    /// The version that the alias has now.
    pub fn version(&self, version: u64) {
        if let Some(line) = &self.0 {
            line.entry.lock().outcome.version = Some(version);
        }
    }

    /// How the call ends: the name of its code, and the reason if it failed.
    pub fn ends(&self, outcome: impl FnOnce() -> (&'static str, Option<String>)) {
        if let Some(line) = &self.0 {
            let mut entry = line.entry.lock();
            (entry.outcome.outcome, entry.outcome.reason) = outcome();
        }
    }
}

impl Drop for LineToCome {
    fn drop(&mut self) {
        let Self { queue, entry } = self;
        let entry = entry.get_mut();
        entry.time = now();
        match serde_json::to_string(entry) {
            Ok(mut line) => {
                line.push('\n');
                queue.push(line);
            }
            Err(_) => queue.lost(1),
        }
    }
}

/// Writes lines until the end. What waits is written together.
fn write_lines(lines: &Receiver<Message>, sink: &AuditSink, queue: &LineQueue) {
    let (mut bytes, mut failing) = (Vec::new(), Failing::default());
    let mut over = false;
    while !over {
        let Ok(first) = lines.recv() else { return };
        let (mut next, mut count) = (Some(first), 0);
        while let Some(message) = next.take() {
            match message {
                Message::Line(line) => {
                    queue.waiting.fetch_sub(line.len(), Ordering::Relaxed);
                    bytes.extend_from_slice(line.as_bytes());
                    count += 1;
                }
                Message::End => {
                    over = true;
                    break;
                }
            }
            if bytes.len() < AT_ONCE {
                next = lines.try_recv().ok();
            }
        }
        match sink.write(&bytes, failing.torn) {
            Ok(()) => {
                queue.metrics.audit_lines.of(AuditLineResult::Written).increment(count);
                failing = Failing::default();
            }
            Err(error) => {
                queue.lost(count);
                failing.note(&error);
            }
        }
        bytes.clear();
    }
}

/// What is known of writes that failed since the last good one.
#[derive(Default)]
struct Failing {
    /// The file may end in the middle of a line.
    torn: bool,
}

impl Failing {
    /// Says it once, and not with every line.
    fn note(&mut self, error: &io::Error) {
        if !self.torn {
            tracing::error!(%error, "lines of the audit trail are lost: they cannot be written");
        }
        self.torn = true;
    }
}

impl AuditSink {
    /// `torn`: the last write failed, perhaps in the middle of a line.
    fn write(&self, lines: &[u8], torn: bool) -> io::Result<()> {
        match self {
            Self::File(file) => {
                let file = file.current()?;
                if torn {
                    (&*file).write_all(b"\n")?;
                }
                (&*file).write_all(lines)
            }
            Self::Log => match tracing::enabled!(target: TARGET, tracing::Level::INFO) {
                true => io::stderr().lock().write_all(lines),
                false => Ok(()),
            },
        }
    }
}
