//! What a connection is doing: how many calls it has under way, and since when it has had none.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The activity of one connection.
pub struct Activity {
    opened: Instant,
    calls: AtomicUsize,
    /// When the last call ended, in microseconds since the connection was opened.
    last: AtomicU64,
}

/// A call under way. Dropping it tells when it ended.
pub struct ActiveCall(Arc<Activity>);

impl Activity {
    /// The activity of a connection that was opened now.
    pub fn new() -> Arc<Self> {
        let (calls, last) = (AtomicUsize::new(0), AtomicU64::new(0));
        Arc::new(Self { opened: Instant::now(), calls, last })
    }

    /// A call begins.
    pub(super) fn begin(self: &Arc<Self>) -> ActiveCall {
        self.calls.fetch_add(1, Ordering::Relaxed);
        ActiveCall(self.clone())
    }

    /// Since when there has been no call under way. `None`: there is one.
    pub fn idle_since(&self) -> Option<Instant> {
        let last = Duration::from_micros(self.last.load(Ordering::Relaxed));
        (self.calls.load(Ordering::Relaxed) == 0).then(|| self.opened + last)
    }
}

impl ActiveCall {
    /// The call ends now.
    pub(super) fn ends(&self, now: Instant) {
        let since = now.saturating_duration_since(self.0.opened);
        self.0.last.store(since.as_micros() as u64, Ordering::Relaxed);
    }
}

impl Drop for ActiveCall {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}
