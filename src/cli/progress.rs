//! How far a command is: a line each second for whoever watches; nothing for a file or a pipe.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

pub(super) const EVERY: Duration = Duration::from_secs(1);

/// How many rows are done.
pub(super) struct Progress {
    /// Nothing where nobody watches.
    shown: Option<Shown>,
}

struct Shown {
    at: Instant,
    rows: u64,
}

impl Progress {
    pub fn new() -> Self {
        // Rows on the same terminal are progress enough.
        let watched = io::stderr().is_terminal() && !io::stdout().is_terminal();
        Self { shown: watched.then(|| Shown { at: Instant::now(), rows: 0 }) }
    }

    /// So many rows are done by now.
    pub fn show(&mut self, rows: u64, note: &str) {
        let Some(shown) = &mut self.shown else { return };
        let (now, passed) = (Instant::now(), shown.at.elapsed());
        if passed >= EVERY {
            let rate = (rows - shown.rows) as f64 / passed.as_secs_f64();
            put(&format!("{rows} rows: {rate:.0} rows/s{note}"));
            *shown = Shown { at: now, rows };
        }
    }

    /// Puts the last word in place of the line.
    pub fn end(&self, last: &str) {
        if self.shown.is_some() {
            put(last);
        }
    }
}

/// Puts this in place of what the last line of stderr says.
pub(super) fn put(line: &str) {
    let mut stderr = io::stderr().lock();
    let _ = write!(stderr, "\r\x1b[K{line}").and_then(|()| stderr.flush());
}
