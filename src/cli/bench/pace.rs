//! When calls are made: as soon as there is room (closed loop), or when their time has come (open
//! loop).
//!
//! In an open loop call n is due at n / rate, whatever became of the calls before it. One that must
//! wait for room is sent late and its latency counts from when it was due: a server that stops for a
//! second is seen by all the calls of that second, not by the few that happened to be under way.

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::os::fd::OwnedFd;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Calls that fall due within this time go out together: waking up for each would cost more than the
/// calls. It is part of the latencies, a twentieth of a millisecond on average.
const GRAIN: Duration = Duration::from_micros(100);

/// How long calls that fell due before the end are still sent after it.
pub(super) const AFTERMATH: Duration = Duration::from_millis(500);

/// What paces the callers of one thread.
pub(super) struct Pace {
    begin: Instant,
    end: Instant,
    /// Seconds between two calls, in an open loop.
    interval: Option<f64>,
    /// Calls that were taken, and that are due.
    taken: Cell<u64>,
    due: Cell<u64>,
    over: Cell<bool>,
    idle: RefCell<VecDeque<Waker>>,
}

impl Pace {
    /// `rate` is in calls a second; none means a closed loop.
    pub fn new(begin: Instant, end: Instant, rate: Option<f64>) -> Self {
        Self {
            begin,
            end,
            interval: rate.map(f64::recip),
            taken: Cell::new(0),
            due: Cell::new(0),
            over: Cell::new(false),
            idle: RefCell::default(),
        }
    }

    /// Waits for the next call to be due; says when it was. None when the run is over.
    pub async fn next(&self) -> Option<Instant> {
        let Some(interval) = self.interval else {
            let now = Instant::now();
            return (now < self.end).then_some(now);
        };
        poll_fn(|context| {
            if self.over.get() {
                return Poll::Ready(None);
            }
            let taken = self.taken.get();
            if taken < self.due.get() {
                self.taken.set(taken + 1);
                return Poll::Ready(Some(
                    self.begin + Duration::from_secs_f64(taken as f64 * interval),
                ));
            }
            self.idle.borrow_mut().push_back(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    pub fn is_closed_loop(&self) -> bool {
        self.interval.is_none()
    }

    /// Calls that were due and never sent, because there was no room for them.
    pub fn unsent(&self) -> u64 {
        self.due.get() - self.taken.get()
    }

    /// Lets calls go when they are due, until the end. Nothing to do in a closed loop.
    ///
    /// # Errors
    /// If the system has no timer for it.
    pub async fn run(&self) -> std::io::Result<()> {
        let Some(interval) = self.interval else { return Ok(()) };
        let timer = Timer::new()?;
        loop {
            let now = Instant::now();
            let until = now.min(self.end).saturating_duration_since(self.begin);
            // Call 0 is due at once; the one at the very end is not part of the run.
            let due = (until.as_secs_f64() / interval).ceil() as u64;
            self.release(due);
            let none_left = now >= self.end && self.unsent() == 0;
            if none_left || now >= self.end + AFTERMATH {
                break;
            }
            let next = self.begin + Duration::from_secs_f64(due as f64 * interval);
            timer.wait(next.min(self.end).max(now + GRAIN)).await?;
        }
        self.over.set(true);
        self.idle.borrow_mut().drain(..).for_each(Waker::wake);
        Ok(())
    }

    fn release(&self, due: u64) {
        self.due.set(due.max(self.due.get()));
        let mut idle = self.idle.borrow_mut();
        // One that is woken and finds nothing waits again.
        let woken = usize::try_from(self.unsent()).unwrap_or(usize::MAX).min(idle.len());
        idle.drain(..woken).for_each(Waker::wake);
    }
}

/// The runtime's own timer knows whole milliseconds only, in which a fast server answers twice.
struct Timer(AsyncFd<OwnedFd>);

impl Timer {
    fn new() -> std::io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        #[allow(
            deprecated,
            reason = "its successor is unsafe; this owns the descriptor it gives out"
        )]
        let timer = AsyncFd::with_interest(timer, Interest::READABLE)?;
        Ok(Self(timer))
    }

    async fn wait(&self, until: Instant) -> std::io::Result<()> {
        // A time of zero would switch the timer off.
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
        let it_value = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        let timer = Itimerspec { it_interval, it_value };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &timer)?;
        let mut expirations = [0; 8];
        loop {
            let mut readable = self.0.readable().await?;
            let read = readable.try_io(|timer| Ok(rustix::io::read(timer, &mut expirations)?));
            if let Ok(read) = read {
                return read.map(drop);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_call_has_its_time_however_late_it_is_taken() {
        let begin = Instant::now();
        let pace = Pace::new(begin, begin + Duration::from_millis(100), Some(10_000.0));
        let callers = async {
            let mut calls = Vec::new();
            while let Some(due) = pace.next().await {
                calls.push(due);
                if calls.len() == 500 {
                    // No room for a while. What falls due meanwhile is late, and not left out.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            calls
        };
        let (calls, paced) = tokio::join!(callers, pace.run());
        paced.expect("there is a timer");
        assert_eq!((calls.len(), pace.unsent()), (1_000, 0));
        for (number, due) in (0..).zip(&calls) {
            let meant = Duration::from_micros(number * 100);
            assert!((*due - begin).abs_diff(meant) < Duration::from_micros(1), "call {number}");
        }
    }

    #[tokio::test]
    async fn a_closed_loop_ends_at_its_end() {
        let begin = Instant::now();
        let pace = Pace::new(begin, begin + Duration::from_millis(5), None);
        pace.run().await.expect("nothing to do");
        while pace.next().await.is_some() {}
        assert!(Instant::now() >= begin + Duration::from_millis(5));
        assert_eq!(pace.unsent(), 0);
    }
}
