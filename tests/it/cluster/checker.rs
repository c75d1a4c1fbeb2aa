//! Checks a history against the promises.
//!
//! Every answer must be a state that the id may have been in, and no older than the reader may
//! expect. If several states fit, the checker takes the oldest. If a key goes back in time on an
//! instance even so, it really did.

use super::history::{At, History, KeyHistory, Outcome, Read, Seen, State, Write};
use super::timeline::Timeline;
use std::collections::HashMap;
use std::time::Duration;
use tonic::Code;

/// How much later than its deadline an answer may be on a busy machine.
const LATENESS: Duration = Duration::from_secs(10);

/// A broken promise, with the details.
#[derive(Debug)]
pub struct Violation {
    pub promise: &'static str,
    pub text: String,
}

/// All violations. `staleness` is the limit that the instances run with.
pub fn check(history: &History, staleness: Duration) -> Vec<Violation> {
    let mut violations = Vec::new();
    for key in &history.keys {
        Judge { history, key, staleness, timelines: Timeline::of(key, history) }
            .judge(&mut violations);
    }
    violations
}

/// At the end the tables hold every acknowledged write, except those that a failover lost (P1).
pub fn check_tables(history: &History, held: &HashMap<String, u32>) -> Vec<Violation> {
    let now = history.now();
    let kept = history.keys.iter().filter_map(|key| {
        let timelines = Timeline::of(key, history);
        let last = timelines.last().expect("at least one");
        lost(history, key, last, held.get(&key.id).copied(), now)
    });
    kept.collect()
}

fn lost(
    history: &History,
    key: &KeyHistory,
    timeline: &Timeline,
    state: State,
    at: At,
) -> Option<Violation> {
    let floor = timeline.reached(at, |_| true);
    if timeline.find(state, floor, at).is_some() {
        return None;
    }
    let text = format!("{} is {state:?} in the tables at {at:.3?}", key.id);
    Some(Violation { promise: "P1", text: text + &around(history, key, at) })
}

struct Judge<'a> {
    history: &'a History,
    key: &'a KeyHistory,
    staleness: Duration,
    timelines: Vec<Timeline>,
}

/// By instance and timeline: the time of each answer, and the newest step that had been seen by then.
/// Sorted by time.
type SeenBefore = HashMap<(usize, usize), Vec<(At, usize)>>;

impl Judge<'_> {
    fn judge(&self, violations: &mut Vec<Violation>) {
        let mut blame = |promise, text: String, at: At| {
            violations
                .push(Violation { promise, text: text + &around(self.history, self.key, at) });
        };
        for (failover, timeline) in
            self.history.failovers(self.key.shard).iter().zip(&self.timelines)
        {
            let held = failover.held.get(&self.key.id).copied();
            let floor = timeline.reached(failover.copied.0, |_| true);
            if timeline.find(held, floor, failover.copied.1).is_none() {
                let text = format!("the copy of shard {} lacks a write: {held:?}", self.key.shard);
                blame("P1", text, failover.copied.1);
            }
        }
        for write in self.key.writes() {
            if let Outcome::Unknown(why) = &write.outcome
                && !self.history.troubles().iter().any(|trouble| write.is_excused_by(trouble))
            {
                blame("P8", format!("a write failed without a reason: {why}"), write.began);
            }
        }
        let mut reads = self.key.reads();
        reads.sort_unstable_by_key(|read| read.answered);
        let mut seen_before = SeenBefore::new();
        for read in &reads {
            if read.answered - read.arrived > read.deadline + LATENESS {
                blame("P11", "an answer came far too late".to_owned(), read.arrived);
            }
            let judged = match &read.answer {
                Err((code, why)) => self.judge_failure(read, *code, why),
                Ok(seen) => self.judge_answer(read, seen, &mut seen_before),
            };
            if let Err((promise, text)) = judged {
                blame(promise, format!("{text}: {read}"), read.arrived);
            }
        }
    }

    /// A read may fail only if something was done to its shard or to its instance (P8), or if it
    /// had hardly any time.
    fn judge_failure(
        &self,
        read: &Read,
        code: Code,
        why: &str,
    ) -> Result<(), (&'static str, String)> {
        let timed_out = matches!(code, Code::DeadlineExceeded | Code::Cancelled);
        let hurried = read.deadline < Duration::from_secs(1) && timed_out;
        if hurried || self.excused(read) || self.lost_its_token(read, code) {
            return Ok(());
        }
        Err(("P8", format!("a read failed without a reason ({why})")))
    }

    /// Whether a failover may have lost the write of the read's token. Until the new primary's clock
    /// has passed the write's seq, the answer is `TOKEN_AHEAD`.
    fn lost_its_token(&self, read: &Read, code: Code) -> bool {
        let Some(write) = read.token_of.filter(|_| code == Code::Unavailable) else { return false };
        let ended = self.key.writes()[write].ended;
        let failovers = self.history.failovers(self.key.shard);
        failovers.iter().any(|it| it.copied.0 < ended && it.replaced < read.answered)
    }

    fn excused(&self, read: &Read) -> bool {
        let lasted = (read.arrived, read.answered);
        let shards = &[self.key.shard];
        self.history.troubles().iter().any(|trouble| trouble.excuses(shards, read.instance, lasted))
    }

    fn judge_answer(
        &self,
        read: &Read,
        seen: &Seen,
        seen_before: &mut SeenBefore,
    ) -> Result<(), (&'static str, String)> {
        let Ok(state) = seen.state else {
            return Err(("P5", "nobody has ever written that".to_owned()));
        };
        if seen.degraded {
            if read.token_of.is_some() {
                return Err(("P2", "a token was answered from old memory".to_owned()));
            }
            if !self.excused(read) {
                return Err(("P8", "degraded without a reason".to_owned()));
            }
        }
        let (mut fitting, mut broken) = (Vec::new(), ("P5", "of no primary".to_owned()));
        for (index, timeline) in self.timelines.iter().enumerate() {
            if read.answered < timeline.from {
                break;
            }
            let over = timeline.until.saturating_add(self.staleness);
            if !seen.degraded && read.arrived > over {
                broken = ("P3", "of a primary that was lost long before".to_owned());
                continue;
            }
            let before = seen_before.get(&(read.instance, index));
            match self.explain(timeline, read, seen.degraded, state, before) {
                Ok(step) => fitting.push((index, step)),
                // Of all primaries, the one that would have been the right one.
                Err(promise) if timeline.find(state, 0, read.answered).is_some() => {
                    broken = (promise, format!("of primary {index}"));
                }
                Err(_) => {}
            }
        }
        // An answer that fits two timelines says nothing about later answers in either.
        if let ([(index, step)], false) = (&fitting[..], seen.degraded) {
            let chain = seen_before.entry((read.instance, *index)).or_default();
            let newest = chain.last().map_or(*step, |&(_, newest)| newest.max(*step));
            chain.push((read.answered, newest));
        }
        if fitting.is_empty() { Err(broken) } else { Ok(()) }
    }

    /// The oldest step that the answer may show, or the first promise that no step keeps.
    fn explain(
        &self,
        timeline: &Timeline,
        read: &Read,
        degraded: bool,
        state: State,
        before: Option<&Vec<(At, usize)>>,
    ) -> Result<usize, &'static str> {
        let find = |floor| timeline.find(state, floor, read.answered);
        let written = timeline.reached(read.arrived, |step| {
            step.write.is_some_and(|(_, instance)| instance == read.instance)
        });
        let mut floors = vec![("P5", 0), ("P2", written)];
        if !degraded {
            let stale = read.arrived.checked_sub(self.staleness);
            floors.push(("P3", stale.map_or(0, |by| timeline.reached(by, |_| true))));
            floors.push(("P2", self.token_floor(timeline, read)));
            let before = before.map_or(&[][..], Vec::as_slice);
            let earlier = before.partition_point(|(answered, _)| *answered < read.arrived);
            floors.push(("P5", before[..earlier].last().map_or(0, |&(_, newest)| newest)));
        }
        for (promise, floor) in &floors {
            find(*floor).ok_or(*promise)?;
        }
        find(floors.iter().map(|(_, floor)| *floor).max().unwrap_or(0)).ok_or("P5")
    }

    /// The oldest step that a reader with a token may see.
    fn token_floor(&self, timeline: &Timeline, read: &Read) -> usize {
        let Some(write) = read.token_of else { return 0 };
        match timeline.step_of(write) {
            Some(step) if timeline.steps[step].certain.is_some() => step,
            Some(_) => 0,
            // The token's write is lost, so the primary's present state is the answer.
            None if self.key.writes()[write].began > timeline.copied => {
                timeline.reached(read.arrived, |_| true)
            }
            None => 0,
        }
    }
}

/// What happened around that time.
fn around(history: &History, key: &KeyHistory, at: At) -> String {
    const BEFORE: Duration = Duration::from_secs(5);
    const AFTER: Duration = Duration::from_secs(1);
    let near = |began: At, ended: At| ended + BEFORE >= at && began <= at + AFTER;
    let (writes, reads) = (key.writes(), key.reads());
    let writes = writes.iter().enumerate().filter(|(_, write)| near(write.began, write.ended));
    let writes = writes.map(|(index, write)| (write.began, format!("{write} (write {index})")));
    let reads = reads.iter().filter(|read| near(read.arrived, read.answered));
    let reads = reads.map(|read| (read.arrived, read.to_string()));
    let troubles = history.troubles();
    let troubles = troubles.iter().filter(|trouble| near(trouble.from, trouble.until));
    let troubles = troubles.map(|trouble| (trouble.from, trouble.to_string()));
    let mut events: Vec<(At, String)> = writes.chain(reads).chain(troubles).collect();
    events.sort();
    let lines: String = events.into_iter().map(|(_, line)| format!("\n    {line}")).collect();
    format!("\n  {} on shard {}:{lines}", key.id, key.shard)
}

/// A summary of the history.
pub fn summary(history: &History) -> String {
    let writes: Vec<Write> = history.keys.iter().flat_map(KeyHistory::writes).collect();
    let reads: Vec<Read> = history.keys.iter().flat_map(KeyHistory::reads).collect();
    let count = |wanted: fn(&Outcome) -> bool| writes.iter().filter(|w| wanted(&w.outcome)).count();
    let slowest = reads.iter().map(|read| read.answered - read.arrived).max().unwrap_or_default();
    format!(
        "{} writes ({} acknowledged, {} refused, {} unknown), {} reads ({} degraded, {} failed, \
         {} with a token), the slowest of which took {slowest:.1?}",
        writes.len(),
        count(|outcome| matches!(outcome, Outcome::Acknowledged { .. })),
        count(|outcome| matches!(outcome, Outcome::Refused(_))),
        count(|outcome| matches!(outcome, Outcome::Unknown(_))),
        reads.len(),
        reads.iter().filter(|r| r.answer.as_ref().is_ok_and(|seen| seen.degraded)).count(),
        reads.iter().filter(|read| read.answer.is_err()).count(),
        reads.iter().filter(|read| read.token_of.is_some()).count(),
    )
}
