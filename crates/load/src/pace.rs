//! Pace: when calls are made. In a closed loop a caller makes a call as soon as its last one is
//! answered. In an open loop calls are made when they are due.
//!
//! In an open loop, call n is due at n / rate, even if earlier calls are not answered. A call that
//! must wait for a free caller is sent late, and its latency counts from when it was due. So if the
//! server stands still for a second, all calls of that second show it, not only the few that were
//! under way.

use crate::timer::Timer;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

/// Calls that fall due within this time go out together, because a wake-up for each would cost more
/// than the call. The wait is part of the latencies: 0.05 ms on average.
const GRAIN: Duration = Duration::from_micros(100);

/// How long after the end calls are still sent that fell due before it.
pub(crate) const AFTERMATH: Duration = Duration::from_millis(500);

/// Tells the callers of one thread when to make their next call.
pub(crate) struct Pace {
    begin: Instant,
    end: Instant,
    /// Seconds between two calls, in an open loop.
    interval: Option<f64>,
    /// How many calls the callers have taken.
    taken: Cell<u64>,
    /// How many calls have fallen due.
    due: Cell<u64>,
    over: Cell<bool>,
    /// Callers that wait for a call to fall due.
    idle: RefCell<VecDeque<Waker>>,
}

impl Pace {
    /// `rate` is in calls a second. `None` means a closed loop.
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

    /// Waits until the next call is due. Returns when that was, or `None` if the run is over.
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

    /// How many calls were due and never sent, because no caller was free.
    pub fn unsent(&self) -> u64 {
        self.due.get() - self.taken.get()
    }

    /// Wakes the callers when calls fall due, until the end. In a closed loop it does nothing.
    ///
    /// # Errors
    /// If the system gives out no timer.
    pub async fn run(&self) -> std::io::Result<()> {
        let Some(interval) = self.interval else { return Ok(()) };
        let timer = Timer::new()?;
        loop {
            let now = Instant::now();
            let until = now.min(self.end).saturating_duration_since(self.begin);
            // Call 0 is due at once. A call that is due at the very end is not part of the run.
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
        // A caller that is woken and finds no call waits again.
        let woken = usize::try_from(self.unsent()).unwrap_or(usize::MAX).min(idle.len());
        idle.drain(..woken).for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_keeps_its_due_time_however_late_it_is_sent() {
        let begin = Instant::now();
        let pace = Pace::new(begin, begin + Duration::from_millis(100), Some(10_000.0));
        let callers = async {
            let mut calls = Vec::new();
            while let Some(due) = pace.next().await {
                calls.push(due);
                if calls.len() == 500 {
                    // No caller is free for a while. Calls that fall due now are late, not lost.
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
    async fn a_closed_loop_ends_by_the_clock() {
        let begin = Instant::now();
        let pace = Pace::new(begin, begin + Duration::from_millis(5), None);
        pace.run().await.expect("nothing to do");
        while pace.next().await.is_some() {}
        assert!(Instant::now() >= begin + Duration::from_millis(5));
        assert_eq!(pace.unsent(), 0);
    }
}
