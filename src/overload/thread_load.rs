//! What a thread refuses while it is late.

use super::control::{ALL, LATE, TICK};
use aka_core::clock::Boottime;
use http::HeaderMap;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// The header by which a client says that a call may wait, with the value `background`.
const PRIORITY: &str = "aka-priority";

/// What a client says of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    Normal,
    /// It may be refused before others.
    Background,
}

impl Priority {
    /// What the headers of a call say. A value that is not known means nothing.
    pub fn of(headers: &HeaderMap) -> Self {
        match headers.get(PRIORITY) {
            Some(priority) if priority == "background" => Self::Background,
            _ => Self::Normal,
        }
    }
}

/// How much of the dear work of a thread is refused. Dear is what costs more than its refusal: loads
/// of ids that are not in memory, large batches, writes. While any is refused, work in the
/// background is refused whole.
#[derive(Debug, Default)]
pub struct ThreadLoad {
    /// When the thread last looked how late it is.
    looked: AtomicU64,
    /// Whether it was late then.
    was_late: AtomicBool,
    /// The share that is refused, in thousandths.
    share: AtomicU32,
    /// The shares of all calls so far. With each thousand a call is refused.
    sum: AtomicU32,
}

thread_local! {
    /// That of a thread which serves connections.
    static OF_THREAD: RefCell<Option<Arc<ThreadLoad>>> = const { RefCell::new(None) };
}

impl ThreadLoad {
    /// That of the current thread. A thread that serves no connections refuses nothing.
    pub fn of_thread() -> Arc<Self> {
        OF_THREAD.with_borrow(|load| load.clone().unwrap_or_default())
    }

    /// Makes the load of the current thread known to [`of_thread`](Self::of_thread).
    pub(super) fn register(self: Arc<Self>) {
        OF_THREAD.set(Some(self));
    }

    /// Whether the thread was late the last time that it looked, or has not looked for too long.
    #[inline]
    pub fn is_late(&self, now: Boottime) -> bool {
        let looked = Boottime::from_nanos(self.looked.load(Ordering::Relaxed));
        self.was_late.load(Ordering::Relaxed) || now.since(looked) >= TICK + LATE
    }

    pub(super) fn set(&self, now: Boottime, was_late: bool, share: u32) {
        self.looked.store(now.nanos(), Ordering::Relaxed);
        self.was_late.store(was_late, Ordering::Relaxed);
        self.share.store(share, Ordering::Relaxed);
    }

    /// Whether a call of this priority may do dear work.
    #[inline]
    pub fn admits(&self, priority: impl FnOnce() -> Priority) -> bool {
        let share = self.share.load(Ordering::Relaxed);
        share == 0 || self.admits_while_late(share, priority())
    }

    #[cold]
    fn admits_while_late(&self, share: u32, priority: Priority) -> bool {
        if priority == Priority::Background {
            return false;
        }
        // Evenly spread. All calls count, because it is not known yet which are dear.
        let sum = self.sum.fetch_add(share, Ordering::Relaxed);
        sum % ALL + share < ALL
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn the_share_is_refused_and_the_background_goes_first() {
        let load = ThreadLoad::default();
        let of = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(PRIORITY, HeaderValue::from_static(value));
            headers
        };
        // Other values mean nothing.
        let (normal, background, urgent) = (HeaderMap::new(), of("background"), of("urgent"));
        let admitted =
            |headers| (0..1_000).filter(|_| load.admits(|| Priority::of(headers))).count();
        assert_eq!((admitted(&normal), admitted(&background)), (1_000, 1_000));
        load.set(Boottime::now(), true, 125);
        assert_eq!((admitted(&normal), admitted(&background)), (875, 0));
        load.set(Boottime::now(), true, ALL);
        assert_eq!((admitted(&normal), admitted(&background)), (0, 0));
        load.set(Boottime::now(), true, 125);
        assert_eq!(admitted(&urgent), 875);
    }
}
