//! Progress of a command: a line on the terminal, once a second. Nothing is written if stderr is a
//! file or a pipe.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

pub(super) const EVERY: Duration = Duration::from_secs(1);

/// How many rows are done.
pub(super) struct Progress {
    /// `None` if stderr is not a terminal.
    last: Option<LastLine>,
}

/// The line that was shown last.
struct LastLine {
    at: Instant,
    rows: u64,
}

impl Progress {
    pub fn new() -> Self {
        // If stdout is the same terminal, the rows themselves show the progress.
        let watched = io::stderr().is_terminal() && !io::stdout().is_terminal();
        Self { last: watched.then(|| LastLine { at: Instant::now(), rows: 0 }) }
    }

    /// Sets the number of rows that are done.
    pub fn show(&mut self, rows: u64, note: &str) {
        let Some(last) = &mut self.last else { return };
        let (now, passed) = (Instant::now(), last.at.elapsed());
        if passed >= EVERY {
            let rate = (rows - last.rows) as f64 / passed.as_secs_f64();
            put(&format!("{rows} rows: {rate:.0} rows/s{note}"));
            *last = LastLine { at: now, rows };
        }
    }

    /// Replaces the line for the last time.
    pub fn end(&self, text: &str) {
        if self.last.is_some() {
            put(text);
        }
    }
}

/// Replaces the last line of stderr.
pub(super) fn put(line: &str) {
    let mut stderr = io::stderr().lock();
    let _ = write!(stderr, "\r\x1b[K{line}").and_then(|()| stderr.flush());
}
