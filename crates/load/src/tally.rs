//! Tallies: the counts of calls, ids and errors, and the latencies.

use crate::call::CallFailed;
use crate::check::{Checked, WrongAnswer};
use crate::error::LoadError;
use crate::plan::Window;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tonic::Code;

/// Latencies from a microsecond to an hour are told apart, to one part in a thousand.
const SHORTEST_NS: u64 = 1_000;
const LONGEST_NS: u64 = 3_600_000_000_000;
const DIGITS: u8 = 3;

/// The part of a run that is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub begin: Instant,
    pub end: Instant,
}

/// The counts of one thread. They are added up in the end.
pub(crate) struct Tally {
    measured: Measured,
    pub latencies: Histogram<u64>,
    /// Calls that were answered. This and the other counts leave out calls that were due in the
    /// warm-up, unless a comment says otherwise.
    pub calls: u64,
    pub ids: u64,
    /// Calls that were answered in the measured time, whenever they were due. Rates and the CPU
    /// time of an id are computed from them.
    pub calls_in_time: u64,
    pub ids_in_time: u64,
    pub aliases: u64,
    pub cold: u64,
    pub degraded: u64,
    /// Ids that were answered wrongly, also in the warm-up.
    pub wrong: u64,
    /// Ids that failed, by gRPC code, also in the warm-up.
    pub errors: BTreeMap<i32, u64>,
    pub first_wrong: Option<WrongAnswer>,
    /// Calls that were due and never sent.
    pub unsent: u64,
    /// How often a call was begun again, because the server had not taken it.
    pub repeated: u64,
    pub windows: Vec<WindowTally>,
    /// Calls that ended before the first window.
    pub ended_before: u64,
}

/// The counts of one window.
pub(crate) struct WindowTally {
    pub window: Window,
    /// Of the calls that fell due in it.
    pub latencies: Histogram<u64>,
    /// Ids of calls that fell due in it, and failed.
    pub failed: u64,
    /// Calls and ids that were answered in it, or failed, whenever they were due.
    pub ended_calls: u64,
    pub answered_ids: u64,
}

/// A call that has ended.
pub(crate) struct EndedCall {
    /// When it was due, or when it was sent in a closed loop.
    pub due: Instant,
    pub ids: u64,
    /// How many of the ids were never seen before.
    pub cold: u64,
}

impl Tally {
    /// An empty tally of a run whose measured time is this.
    pub fn new(measured: Measured, windows: &[Window]) -> Result<Self, LoadError> {
        let latencies = || {
            Histogram::new_with_bounds(SHORTEST_NS, LONGEST_NS, DIGITS)
                .map_err(|fault| LoadError::Broken(fault.to_string()))
        };
        let window = |&window: &Window| {
            let latencies = latencies()?;
            Ok(WindowTally { window, latencies, failed: 0, ended_calls: 0, answered_ids: 0 })
        };
        Ok(Self {
            measured,
            windows: windows.iter().map(window).collect::<Result<_, LoadError>>()?,
            latencies: latencies()?,
            calls: 0,
            ids: 0,
            calls_in_time: 0,
            ids_in_time: 0,
            aliases: 0,
            cold: 0,
            degraded: 0,
            wrong: 0,
            errors: BTreeMap::new(),
            first_wrong: None,
            unsent: 0,
            repeated: 0,
            ended_before: 0,
        })
    }

    /// Counts a call, with what was found in its answer.
    pub fn note(
        &mut self,
        call: &EndedCall,
        answer: Result<Checked, CallFailed>,
        live: &LiveCounts,
    ) {
        let Checked { aliases, wrong, failed, degraded, first_wrong } = match answer {
            Ok(checked) => checked,
            Err(CallFailed { code, .. }) => {
                self.note_in_windows(call, None);
                live.bad.fetch_add(call.ids, Ordering::Relaxed);
                *self.errors.entry(code.into()).or_default() += call.ids;
                return;
            }
        };
        live.ids.fetch_add(call.ids, Ordering::Relaxed);
        if wrong > 0 || !failed.is_empty() {
            live.bad.fetch_add(wrong + failed.len() as u64, Ordering::Relaxed);
            self.note_bad(wrong, &failed, first_wrong);
        }
        let now = Instant::now();
        if (self.measured.begin..=self.measured.end).contains(&now) {
            self.calls_in_time += 1;
            self.ids_in_time += call.ids;
        }
        let latency = now.saturating_duration_since(call.due).as_nanos();
        let latency = u64::try_from(latency).unwrap_or(u64::MAX);
        self.note_in_windows(call, Some(latency));
        if call.due < self.measured.begin {
            return;
        }
        self.latencies.saturating_record(latency);
        self.calls += 1;
        self.ids += call.ids;
        self.aliases += aliases;
        self.cold += call.cold;
        self.degraded += if degraded { call.ids } else { 0 };
    }

    /// `latency` is that of an answered call.
    fn note_in_windows(&mut self, call: &EndedCall, latency: Option<u64>) {
        let Some(since) = Instant::now().checked_duration_since(self.measured.begin) else {
            self.ended_before += 1;
            return;
        };
        if let Some(ended) = self.windows.iter_mut().find(|it| it.window.holds(since)) {
            ended.ended_calls += 1;
            ended.answered_ids += if latency.is_some() { call.ids } else { 0 };
        }
        let Some(since) = call.due.checked_duration_since(self.measured.begin) else { return };
        if let Some(due) = self.windows.iter_mut().find(|it| it.window.holds(since)) {
            match latency {
                Some(latency) => due.latencies.saturating_record(latency),
                None => due.failed += call.ids,
            }
        }
    }

    fn note_bad(&mut self, wrong: u64, failed: &[Code], first_wrong: Option<WrongAnswer>) {
        self.wrong += wrong;
        for &code in failed {
            *self.errors.entry(code.into()).or_default() += 1;
        }
        self.first_wrong = self.first_wrong.take().or(first_wrong);
    }

    /// Counts ids that had no answer when their caller stopped waiting.
    pub fn note_unanswered(&mut self, ids: u64) {
        if ids > 0 {
            *self.errors.entry(Code::DeadlineExceeded.into()).or_default() += ids;
        }
    }

    /// Adds the counts of another thread.
    pub fn add(&mut self, other: Self) -> Result<(), LoadError> {
        self.latencies
            .add(&other.latencies)
            .map_err(|fault| LoadError::Broken(fault.to_string()))?;
        for (sum, one) in self.windows.iter_mut().zip(&other.windows) {
            sum.latencies
                .add(&one.latencies)
                .map_err(|fault| LoadError::Broken(fault.to_string()))?;
            sum.failed += one.failed;
            sum.ended_calls += one.ended_calls;
            sum.answered_ids += one.answered_ids;
        }
        self.ended_before += other.ended_before;
        self.calls += other.calls;
        self.ids += other.ids;
        self.calls_in_time += other.calls_in_time;
        self.ids_in_time += other.ids_in_time;
        self.aliases += other.aliases;
        self.cold += other.cold;
        self.degraded += other.degraded;
        self.wrong += other.wrong;
        self.unsent += other.unsent;
        self.repeated += other.repeated;
        self.first_wrong = self.first_wrong.take().or(other.first_wrong);
        for (code, count) in other.errors {
            *self.errors.entry(code).or_default() += count;
        }
        Ok(())
    }
}

/// Counts of all threads that can be read while the run goes on. The warm-up is included.
#[derive(Debug, Default)]
pub struct LiveCounts {
    pub(crate) ids: AtomicU64,
    pub(crate) bad: AtomicU64,
}

impl LiveCounts {
    /// How many ids were answered.
    pub fn ids(&self) -> u64 {
        self.ids.load(Ordering::Relaxed)
    }

    /// How many ids failed or were answered wrongly.
    pub fn bad(&self) -> u64 {
        self.bad.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn windows() -> [Window; 2] {
        let half = Duration::from_millis(500);
        [Window { begin: Duration::ZERO, end: half }, Window { begin: half, end: 2 * half }]
    }

    #[test]
    fn the_warm_up_is_not_counted_but_its_faults_are() {
        let begin = Instant::now();
        let measured = Measured { begin, end: begin + Duration::from_secs(1) };
        let mut tally = Tally::new(measured, &windows()).expect("bounds");
        let before = begin.checked_sub(Duration::from_millis(1)).expect("a clock that ran");
        let live = LiveCounts::default();
        let call = |due| EndedCall { due, ids: 10, cold: 1 };
        let checked = || Checked { aliases: 5, wrong: 1, ..Checked::default() };
        tally.note(&call(before), Ok(checked()), &live);
        assert_eq!((tally.calls, tally.ids, tally.wrong), (0, 0, 1));
        tally.note(&call(begin), Ok(checked()), &live);
        tally.note(&call(begin), Err(CallFailed::of(Code::Unavailable)), &live);
        assert_eq!((tally.calls, tally.ids, tally.aliases, tally.cold), (1, 10, 5, 1));
        assert_eq!((tally.wrong, tally.errors.values().sum::<u64>()), (2, 10));
        assert_eq!(live.bad(), 12);
        let mut whole = Tally::new(measured, &windows()).expect("bounds");
        whole.add(tally).expect("the same bounds");
        assert_eq!((whole.calls, whole.latencies.len(), whole.wrong), (1, 1, 2));
        let [first, second] = &whole.windows[..] else { panic!("two windows") };
        assert_eq!((first.latencies.len(), first.failed), (1, 10), "what was due in it");
        // The call of the warm-up ended in it as well.
        assert_eq!((first.ended_calls, first.answered_ids), (3, 20));
        assert_eq!((second.latencies.len(), second.ended_calls), (0, 0));
    }
}
