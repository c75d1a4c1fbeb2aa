//! How a run goes, for whoever watches.

use super::super::progress::{EVERY, put};
use super::tally::Live;
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

pub(super) struct Progress {
    live: Arc<Live>,
    /// Nothing where nobody watches.
    shown: Option<Shown>,
}

struct Shown {
    begin: Instant,
    whole: Duration,
    at: Instant,
    ids: u64,
}

impl Progress {
    pub fn new(live: Arc<Live>, whole: Duration) -> Self {
        let now = Instant::now();
        let shown = Shown { begin: now, whole, at: now, ids: 0 };
        Self { live, shown: io::stderr().is_terminal().then_some(shown) }
    }

    pub async fn watch_until(&mut self, until: Instant) {
        while let Some(shown) = &mut self.shown {
            let next = shown.at + EVERY;
            if next >= until {
                break;
            }
            tokio::time::sleep_until(next.into()).await;
            shown.show(&self.live);
        }
        tokio::time::sleep_until(until.into()).await;
    }

    /// Takes the line away.
    pub fn end(&self) {
        if self.shown.is_some() {
            put("");
        }
    }
}

impl Shown {
    fn show(&mut self, live: &Live) {
        let now = Instant::now();
        let ids = live.ids.load(Ordering::Relaxed);
        let rate = (ids - self.ids) as f64 / (now - self.at).as_secs_f64();
        let failed = match live.failed.load(Ordering::Relaxed) {
            0 => String::new(),
            failed => format!(", {failed} failed or wrong"),
        };
        let (passed, whole) = ((now - self.begin).as_secs(), self.whole.as_secs_f64());
        put(&format!("{passed}/{whole:.0} s: {rate:.0} ids/s{failed}"));
        (self.at, self.ids) = (now, ids);
    }
}
