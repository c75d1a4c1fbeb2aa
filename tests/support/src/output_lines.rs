//! The output of a process, line by line.

use crate::expect::PATIENCE;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Instant;

/// The last lines that a process printed.
pub(crate) type Log = Arc<Mutex<Vec<String>>>;

/// Reads lines to the end on a thread, so that the process never waits for a reader. `log` keeps the
/// last ones.
pub(crate) fn read_lines(from: impl Read + Send + 'static, log: Log) -> mpsc::Receiver<String> {
    let (lines, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            log.push(line.clone());
            let surplus = log.len().saturating_sub(200);
            log.drain(..surplus);
            lines.send(line).ok();
        }
    });
    receiver
}

/// Waits for a line that `read` can read, for [`PATIENCE`] at most.
pub(crate) fn wait_for<T>(
    lines: &mpsc::Receiver<String>,
    read: impl Fn(&str) -> Option<T>,
) -> Option<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if let Some(found) = read(&lines.recv_timeout(left).ok()?) {
            return Some(found);
        }
    }
}

/// The end of a log, for a message.
pub(crate) fn tail(log: &Log) -> String {
    let log = log.lock().unwrap_or_else(PoisonError::into_inner);
    log[log.len().saturating_sub(20)..].join("\n")
}
