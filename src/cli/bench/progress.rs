//! Shows on a terminal how far a run is.

use super::super::progress::{EVERY, put};
use aka_load::LiveCounts;
use std::convert::Infallible;
use std::future::pending;
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) struct RunProgress {
    live: Arc<LiveCounts>,
    /// Nothing if stderr is not a terminal.
    line: Option<ProgressLine>,
}

struct ProgressLine {
    begin: Instant,
    whole: Duration,
    at: Instant,
    ids: u64,
}

impl RunProgress {
    /// `whole`: how long the run takes.
    pub fn new(live: Arc<LiveCounts>, whole: Duration) -> Self {
        let now = Instant::now();
        let line = ProgressLine { begin: now, whole, at: now, ids: 0 };
        Self { live, line: io::stderr().is_terminal().then_some(line) }
    }

    /// Updates the line until the run ends. To be dropped then.
    pub async fn watch(&mut self) -> Infallible {
        while let Some(line) = &mut self.line {
            let next = line.at + EVERY;
            if next >= line.begin + line.whole {
                break;
            }
            tokio::time::sleep_until(next.into()).await;
            line.update(&self.live);
        }
        pending().await
    }

    /// Takes the line away.
    pub fn end(&self) {
        if self.line.is_some() {
            put("");
        }
    }
}

impl ProgressLine {
    fn update(&mut self, live: &LiveCounts) {
        let (now, ids) = (Instant::now(), live.ids());
        let rate = (ids - self.ids) as f64 / (now - self.at).as_secs_f64();
        let bad = match live.bad() {
            0 => String::new(),
            bad => format!(", {bad} failed or wrong"),
        };
        let (passed, whole) = ((now - self.begin).as_secs(), self.whole.as_secs_f64());
        put(&format!("{passed}/{whole:.0} s: {rate:.0} ids/s{bad}"));
        (self.at, self.ids) = (now, ids);
    }
}
