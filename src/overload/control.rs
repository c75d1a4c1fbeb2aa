//! How the share of refused work follows the lateness of a thread.

use std::time::{Duration, Instant};

/// How often a thread looks how late it is. The runtime's timers count milliseconds, so it is late by
/// up to one of them even if it has nothing to do.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// What a thread that is late by more has read may have waited in the kernel for long.
pub(super) const LATE: Duration = Duration::from_millis(5);

/// For so long a thread must be late without a break, or on time, before the share changes. A burst
/// that is worked off within this time is no overload.
const INTERVAL: Duration = Duration::from_millis(100);

/// All of it, in thousandths.
pub(super) const ALL: u32 = 1_000;

/// By how much the share grows after each interval of lateness. From nothing to all it takes 0.8 s.
const STEP: u32 = ALL / 8;

/// The share of dear work that is refused. It grows step by step while the thread is late without a
/// break, and is halved for each interval in which it is on time. The condition is that of CoDel
/// (Nichols and Jacobson, "Controlling Queue Delay", 2012): the least delay of an interval tells a
/// standing queue from a burst.
pub(super) struct LatenessControl {
    /// A thread that is late by less has kept up.
    target: Duration,
    share: u32,
    /// Since when the thread has been late, or on time, and which.
    since: Option<(Instant, bool)>,
}

impl LatenessControl {
    pub fn new(target: Duration) -> Self {
        Self { target, share: 0, since: None }
    }

    /// The thread was late by so much. Returns the share in thousandths.
    pub fn observe(&mut self, now: Instant, late: Duration) -> u32 {
        let is_late = late >= self.target;
        match self.since {
            Some((since, was_late)) if was_late == is_late => {
                if now - since >= INTERVAL {
                    self.since = Some((now, is_late));
                    self.share = match is_late {
                        true => (self.share + STEP).min(ALL),
                        false => self.share / 2,
                    };
                }
            }
            _ => self.since = Some((now, is_late)),
        }
        self.share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Duration = Duration::from_millis(5);

    /// Observes this lateness for a time. Returns when it is over, and the last share.
    fn observe(
        control: &mut LatenessControl,
        from: Instant,
        time: Duration,
        late: Duration,
    ) -> (Instant, u32) {
        let ticks = time.as_micros() / TICK.as_micros();
        let mut share = 0;
        for tick in 1..=ticks as u32 {
            share = control.observe(from + TICK * tick, late);
        }
        (from + time, share)
    }

    #[test]
    fn a_burst_is_no_overload() {
        let (mut control, mut now, mut share) = (LatenessControl::new(TARGET), Instant::now(), 0);
        for _ in 0..100 {
            (now, share) = observe(&mut control, now, INTERVAL - TICK, 10 * TARGET);
            assert_eq!(share, 0);
            (now, share) = observe(&mut control, now, TICK, TARGET / 2);
        }
        assert_eq!(share, 0);
    }

    #[test]
    fn the_share_grows_while_the_thread_is_late_and_is_gone_soon_after() {
        let (mut control, now) = (LatenessControl::new(TARGET), Instant::now());
        let (now, share) = observe(&mut control, now, 2 * INTERVAL, TARGET);
        assert_eq!(share, STEP);
        let (now, share) = observe(&mut control, now, Duration::from_secs(1), TARGET);
        assert_eq!(share, ALL);
        let (now, share) = observe(&mut control, now, Duration::from_secs(60), TARGET);
        assert_eq!(share, ALL, "it is never more than all");
        let (_, share) = observe(&mut control, now, Duration::from_millis(1_500), TARGET / 2);
        assert_eq!(share, 0);
    }
}
