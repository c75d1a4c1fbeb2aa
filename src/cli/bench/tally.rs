//! What is counted, and how long answers took.

use super::message::Verdict;
use super::wire::Failed;
use crate::cli::fault::CliFault;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tonic::Code;

/// Latencies are told apart from a microsecond up, to a part in a thousand.
const SHORTEST_NS: u64 = 1_000;
const LONGEST_NS: u64 = 3_600_000_000_000;
const DIGITS: u8 = 3;

/// Counts of one thread; added up in the end.
pub(super) struct Tally {
    begin: Instant,
    end: Instant,
    pub latencies: Histogram<u64>,
    /// Calls that were answered, and their ids. All of these counts leave the warm-up out.
    pub calls: u64,
    pub ids: u64,
    /// Calls, and ids, that were answered between the two moments, whenever they were due: rates and
    /// CPU times are of that time.
    pub in_time: (u64, u64),
    pub aliases: u64,
    pub cold: u64,
    pub degraded: u64,
    /// Ids, of the warm-up too: a wrong answer is wrong at any time.
    pub wrong: u64,
    pub errors: BTreeMap<i32, u64>,
    pub example: Option<String>,
    /// Calls that were due and never sent.
    pub unsent: u64,
}

/// A call that has ended.
pub(super) struct Call {
    /// When it was due, or was sent in a closed loop.
    pub due: Instant,
    pub ids: u64,
    pub cold: u64,
}

impl Tally {
    /// Counts calls that are due between `begin` and `end`.
    pub fn new(begin: Instant, end: Instant) -> Result<Self, CliFault> {
        let latencies = Histogram::new_with_bounds(SHORTEST_NS, LONGEST_NS, DIGITS)
            .map_err(|fault| CliFault::malformed(&fault.to_string()))?;
        Ok(Self {
            begin,
            end,
            latencies,
            calls: 0,
            ids: 0,
            in_time: (0, 0),
            aliases: 0,
            cold: 0,
            degraded: 0,
            wrong: 0,
            errors: BTreeMap::new(),
            example: None,
            unsent: 0,
        })
    }

    pub fn note(&mut self, call: &Call, outcome: Result<Verdict, Failed>, live: &Live) {
        let Verdict { aliases, wrong, failed, degraded, example } = match outcome {
            Ok(verdict) => verdict,
            Err(Failed(code)) => {
                live.failed.fetch_add(call.ids, Ordering::Relaxed);
                *self.errors.entry(code.into()).or_default() += call.ids;
                return;
            }
        };
        live.calls.fetch_add(1, Ordering::Relaxed);
        live.ids.fetch_add(call.ids, Ordering::Relaxed);
        if wrong > 0 || !failed.is_empty() {
            live.failed.fetch_add(wrong + failed.len() as u64, Ordering::Relaxed);
            self.note_bad(wrong, &failed, example);
        }
        let now = Instant::now();
        if (self.begin..=self.end).contains(&now) {
            self.in_time.0 += 1;
            self.in_time.1 += call.ids;
        }
        if call.due < self.begin {
            return;
        }
        let latency = now.saturating_duration_since(call.due).as_nanos();
        self.latencies.saturating_record(u64::try_from(latency).unwrap_or(u64::MAX));
        self.calls += 1;
        self.ids += call.ids;
        self.aliases += aliases;
        self.cold += call.cold;
        self.degraded += if degraded { call.ids } else { 0 };
    }

    fn note_bad(&mut self, wrong: u64, failed: &[Code], example: Option<String>) {
        self.wrong += wrong;
        for &code in failed {
            *self.errors.entry(code.into()).or_default() += 1;
        }
        self.example = self.example.take().or(example);
    }

    /// Calls that were still not answered when their caller stopped waiting.
    pub fn note_unanswered(&mut self, ids: u64) {
        if ids > 0 {
            *self.errors.entry(Code::DeadlineExceeded.into()).or_default() += ids;
        }
    }

    pub fn add(&mut self, other: Self) -> Result<(), CliFault> {
        self.latencies
            .add(&other.latencies)
            .map_err(|fault| CliFault::malformed(&fault.to_string()))?;
        self.calls += other.calls;
        self.ids += other.ids;
        self.in_time.0 += other.in_time.0;
        self.in_time.1 += other.in_time.1;
        self.aliases += other.aliases;
        self.cold += other.cold;
        self.degraded += other.degraded;
        self.wrong += other.wrong;
        self.unsent += other.unsent;
        self.example = self.example.take().or(other.example);
        for (code, count) in other.errors {
            *self.errors.entry(code).or_default() += count;
        }
        Ok(())
    }

    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }
}

/// What a watcher sees while the run goes on.
#[derive(Debug, Default)]
pub(super) struct Live {
    pub calls: AtomicU64,
    pub ids: AtomicU64,
    pub failed: AtomicU64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_warm_up_is_not_counted_but_its_faults_are() {
        let begin = Instant::now();
        let mut tally = Tally::new(begin, begin + Duration::from_secs(1)).expect("bounds");
        let before = begin.checked_sub(Duration::from_millis(1)).expect("a clock that ran");
        let live = Live::default();
        let call = |due| Call { due, ids: 10, cold: 1 };
        let verdict = || Verdict { aliases: 5, wrong: 1, ..Verdict::default() };
        tally.note(&call(before), Ok(verdict()), &live);
        assert_eq!((tally.calls, tally.ids, tally.wrong), (0, 0, 1));
        tally.note(&call(begin), Ok(verdict()), &live);
        tally.note(&call(begin), Err(Failed(Code::Unavailable)), &live);
        assert_eq!((tally.calls, tally.ids, tally.aliases, tally.cold), (1, 10, 5, 1));
        assert_eq!((tally.wrong, tally.failed()), (2, 10));
        assert_eq!(live.failed.into_inner(), 12);
        let mut whole = Tally::new(begin, begin + Duration::from_secs(1)).expect("bounds");
        whole.add(tally).expect("the same bounds");
        assert_eq!((whole.calls, whole.latencies.len(), whole.failed()), (1, 1, 10));
    }
}
