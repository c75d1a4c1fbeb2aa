//! Tests of the checker: small histories that are right, and the same with one thing wrong.

use super::checker::{check, check_tables};
use super::history::{At, Failover, History, Outcome, Read, Seen, State, Trouble, Write};
use std::collections::HashMap;
use std::time::Duration;
use tonic::Code;

const STALENESS: Duration = Duration::from_secs(1);

/// One id, on one shard, and what happened to it. Times are in milliseconds.
struct Story(History);

impl Story {
    fn new() -> Self {
        Self(History::new([("k".to_owned(), 0)]))
    }

    fn wrote(&self, to: State, instance: usize, time: (u64, u64), outcome: Outcome) -> usize {
        let (began, ended) = (at(time.0), at(time.1));
        let shards = vec![0];
        self.0.keys[0].wrote(Write { to, instance, shards, began, ended, outcome })
    }

    /// An acknowledged write of instance 0.
    fn ok(&self, to: State, time: (u64, u64)) -> usize {
        self.wrote(to, 0, time, Outcome::Acknowledged { token: String::new() })
    }

    fn read_as(&self, state: State, instance: usize, time: (u64, u64), token_of: Option<usize>) {
        self.answered(Ok(Seen { state: Ok(state), degraded: false }), instance, time, token_of);
    }

    fn answered(
        &self,
        answer: Result<Seen, (Code, String)>,
        instance: usize,
        (arrived, answered): (u64, u64),
        token_of: Option<usize>,
    ) {
        let (arrived, answered) = (at(arrived), at(answered));
        let deadline = Duration::from_secs(8);
        self.0.keys[0].read(Read { instance, arrived, answered, deadline, token_of, answer });
    }

    /// A read of instance 1, which has written nothing.
    fn read(&self, state: State, time: (u64, u64)) {
        self.read_as(state, 1, time, None);
    }

    fn trouble(&self, from: u64, until: u64) {
        let (from, until) = (at(from), at(until));
        self.0.troubled(Trouble {
            shard: Some(0),
            writes: (Some(0), None),
            from,
            until,
            ..Trouble::default()
        });
    }

    /// The copy is made between 1000 and 1100, and takes over at 3000.
    fn fails_over(&self, held: State) {
        let held = held.map(|number| ("k".to_owned(), number)).into_iter().collect();
        let (copied, lost, replaced) = ((at(1_000), at(1_100)), at(3_000), at(3_050));
        self.0.failed_over(Failover { shard: 0, copied, lost, replaced, held });
    }

    #[track_caller]
    fn is_right(&self) {
        let found = check(&self.0, STALENESS);
        assert!(found.is_empty(), "{found:?}");
    }

    #[track_caller]
    fn breaks(&self, promise: &str) {
        let found = check(&self.0, STALENESS);
        let [violation] = &found[..] else { panic!("not one violation: {found:?}") };
        assert_eq!(violation.promise, promise, "{}", violation.text);
    }
}

fn at(ms: u64) -> At {
    Duration::from_millis(ms)
}

fn unknown() -> Outcome {
    Outcome::Unknown("lost".to_owned())
}

#[test]
fn right_histories_break_no_promise() {
    let story = Story::new();
    story.read(None, (10, 20));
    let first = story.ok(Some(1), (100, 120));
    // Before the write was sent, while it was under way, and a little after it.
    story.read(None, (100, 110));
    story.read(None, (900, 910));
    story.read_as(Some(1), 0, (121, 130), None);
    story.read_as(Some(1), 2, (121, 130), Some(first));
    story.ok(None, (2_000, 2_010));
    story.read(Some(1), (2_900, 2_905));
    story.read(None, (2_905, 2_910));
    story.trouble(3_000, 4_000);
    story.wrote(Some(2), 1, (3_100, 3_200), unknown());
    // An unknown outcome: the write happened, or not, or not yet.
    story.read_as(None, 2, (3_300, 3_400), None);
    story.read_as(Some(2), 2, (6_300, 6_400), None);
    story.answered(Err((Code::Unavailable, String::new())), 1, (3_900, 3_950), None);
    let old = Seen { state: Ok(Some(1)), degraded: true };
    story.answered(Ok(old), 1, (3_500, 3_600), None);
    story.is_right();
}

#[test]
fn an_answer_older_than_the_limit_is_found() {
    let story = Story::new();
    story.ok(Some(1), (100, 120));
    story.read(None, (1_121, 1_130));
    story.breaks("P3");
    let story = Story::new();
    story.ok(Some(1), (100, 110));
    story.ok(None, (200, 220));
    story.read(Some(1), (1_221, 1_230));
    story.breaks("P3");
}

#[test]
fn a_missed_own_write_is_found() {
    let story = Story::new();
    story.ok(Some(1), (100, 120));
    story.read_as(None, 0, (121, 130), None);
    story.breaks("P2");
}

#[test]
fn a_token_that_is_not_honoured_is_found() {
    let story = Story::new();
    let write = story.ok(Some(1), (100, 120));
    story.read_as(None, 1, (121, 130), Some(write));
    story.breaks("P2");
    let story = Story::new();
    let write = story.ok(Some(1), (100, 120));
    story.trouble(100, 200);
    let old = Seen { state: Ok(Some(1)), degraded: true };
    story.answered(Ok(old), 1, (121, 130), Some(write));
    story.breaks("P2");
}

#[test]
fn a_key_that_goes_back_in_time_is_found() {
    let story = Story::new();
    story.ok(Some(1), (100, 120));
    story.read(Some(1), (121, 130));
    story.read(None, (131, 140));
    story.breaks("P5");
    // Reads that overlap may be in any order, and so may those of two instances.
    let story = Story::new();
    story.ok(Some(1), (100, 120));
    story.read(Some(1), (121, 130));
    story.read(None, (129, 140));
    story.read_as(None, 2, (150, 160), None);
    story.is_right();
}

#[test]
fn a_value_that_was_never_written_is_found() {
    let story = Story::new();
    story.ok(Some(1), (100, 120));
    story.read(Some(2), (121, 130));
    story.breaks("P5");
    // Not before it was written, and not if it was refused.
    let story = Story::new();
    story.ok(Some(1), (100, 120));
    story.read(Some(1), (80, 99));
    story.breaks("P5");
    let story = Story::new();
    story.wrote(Some(1), 0, (100, 120), Outcome::Refused("ALIAS_TAKEN".to_owned()));
    story.read(Some(1), (121, 130));
    story.breaks("P5");
    let story = Story::new();
    let foreign = Seen { state: Err("other-v1".to_owned()), degraded: true };
    story.trouble(0, 100);
    story.answered(Ok(foreign), 1, (10, 20), None);
    story.breaks("P5");
}

#[test]
fn a_failure_without_a_fault_is_found() {
    let failed = || Err((Code::Unavailable, String::new()));
    let story = Story::new();
    story.trouble(100, 200);
    story.answered(failed(), 1, (201, 210), None);
    story.breaks("P8");
    let story = Story::new();
    story.wrote(Some(1), 0, (100, 120), unknown());
    story.breaks("P8");
    let story = Story::new();
    story.answered(Ok(Seen { state: Ok(None), degraded: true }), 1, (10, 20), None);
    story.breaks("P8");
    // Trouble of another instance, or of another shard.
    for (shard, instance) in [(None, Some(2)), (Some(1), None), (Some(0), Some(2))] {
        let story = Story::new();
        let until = at(300);
        story.0.troubled(Trouble { shard, instance, until, ..Trouble::default() });
        story.answered(failed(), 1, (100, 200), None);
        story.breaks("P8");
    }
}

#[test]
fn an_answer_long_after_its_deadline_is_found() {
    let story = Story::new();
    story.read(None, (0, 29_000));
    story.breaks("P11");
}

#[test]
fn a_failover_excuses_only_the_writes_that_it_lost() {
    let before = || {
        let story = Story::new();
        story.ok(Some(1), (100, 120));
        let lost = story.ok(Some(2), (2_000, 2_020));
        story.fails_over(Some(1));
        (story, lost)
    };
    let (story, lost) = before();
    story.read(Some(2), (2_900, 2_910));
    story.read(Some(2), (3_900, 3_910));
    story.read(Some(1), (3_920, 3_930));
    story.read_as(Some(1), 0, (5_000, 5_010), None);
    story.read_as(Some(1), 2, (5_000, 5_010), Some(lost));
    story.ok(Some(3), (6_000, 6_020));
    story.read_as(Some(3), 2, (6_030, 6_040), Some(lost));
    story.is_right();

    // The lost value is answered long after the failover.
    let (story, _) = before();
    story.read(Some(2), (4_010, 4_020));
    story.breaks("P3");
    // The answer is not from the primary, although the token demands it.
    let (story, lost) = before();
    story.ok(Some(3), (6_000, 6_020));
    story.read_as(Some(1), 2, (6_030, 6_040), Some(lost));
    story.breaks("P2");
    // The answer goes back to the time before the writes after the failover.
    let (story, _) = before();
    story.ok(Some(3), (6_000, 6_020));
    story.read(Some(3), (6_030, 6_040));
    story.read(Some(1), (6_050, 6_060));
    story.breaks("P5");
    // The copy lacks what was acknowledged before it was made.
    let story = Story::new();
    story.ok(Some(1), (100, 120));
    story.fails_over(None);
    story.breaks("P1");
}

#[test]
fn a_write_missing_from_the_tables_is_found() {
    let story = Story::new();
    story.ok(Some(1), (0, 0));
    let held = |number| HashMap::from([("k".to_owned(), number)]);
    assert!(check_tables(&story.0, &held(1)).is_empty());
    assert_eq!(check_tables(&story.0, &HashMap::new())[0].promise, "P1");
    assert_eq!(check_tables(&story.0, &held(2))[0].promise, "P1");
}
