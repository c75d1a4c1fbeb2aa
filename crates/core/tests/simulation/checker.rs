//! The checker: compares every answer with the promises P2 to P6, by all that the model knows.
//!
//! An answer is right if a primary that was alive late enough had this value late enough. So for
//! each line the checker finds the first seq that the answer may be as of, and asks whether the key
//! has had the value since. "Late enough" is the latest of these:
//!
//! - P3: `staleness_limit` before the request's arrival, or `degraded_limit` before a degraded
//!   answer;
//! - P2: the writes that this instance had acknowledged before the request arrived, the rows that
//!   it had shown to an admin, and the position of the request's token (its seq alone, on a line
//!   that has lost the write);
//! - P5: the state that this instance had shown before the request arrived.
//!
//! "Not an alias" is a value like any other (P6). A value that nobody wrote is in no line.
//!
//! **Two primaries at once.** The promises hold while a shard's address leads to one primary. After
//! a failover the old primary may go on answering its connections. Then an answer may be of any
//! line that was alive late enough. These are checked:
//!
//! - The answer is not older than the limit within its own line.
//! - A line that died before a write was committed does not count for a reader that must see the
//!   write.
//! - After an instance has noticed a contradiction, requests that arrive later are not answered by
//!   a primary that was deposed before. That primary may live on, but its connections are closed. In
//!   a group it may go on answering for as long as its last beat proves it.
//!
//! Not checked while the old primary lives: that a write to one primary is seen by a reader of the
//! other. Never checked: that answers go forward from one line to another, and writes that a
//! failover lost.

use crate::group::Group;
use crate::model::{Line, Micro, Value};
use crate::schedule::Schedule;
use aka_core::domain::Position;

/// A reader must see the state at this position, or a later one. It was committed at `time`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound {
    pub at: Position,
    pub time: Micro,
}

/// The states that a reader of one key must see, or later ones.
#[derive(Clone, Debug, Default)]
pub struct Promised {
    own: Vec<Bound>,
    seen: Vec<Bound>,
}

/// An answer that is about to go out.
pub struct Answer<'a> {
    pub instance: usize,
    pub shard: usize,
    pub key: usize,
    pub value: Value,
    pub arrived: Micro,
    pub now: Micro,
    pub degraded: bool,
    /// How long ago a degraded answer may have been given: a batch waits for its other ids.
    pub waited: Micro,
    /// The position of the request's token on this shard.
    pub token: Option<Bound>,
    /// The states that were promised when the request arrived. `None` if it arrives now.
    pub promised: Option<&'a Promised>,
}

pub struct Checker {
    staleness: Micro,
    degraded: Micro,
    /// For each instance and key.
    promised: Vec<Vec<Promised>>,
    /// For each instance and shard: the time of the last contradiction, and the primary then.
    given_up: Vec<Vec<(Micro, usize)>>,
    /// For each instance: when it was started.
    started: Vec<Micro>,
    pub answers: u64,
    pub degraded_answers: u64,
    /// Whether the servers prove by beats that they are primaries.
    has_beats: bool,
}

impl Checker {
    pub fn new(schedule: &Schedule) -> Self {
        let Schedule { instances, shards, keys, staleness, degraded, .. } = *schedule;
        Self {
            has_beats: schedule.group == Group::Servers,
            staleness,
            degraded,
            promised: vec![vec![Promised::default(); keys]; instances],
            given_up: vec![vec![(0, 0); shards]; instances],
            started: vec![0; instances],
            answers: 0,
            degraded_answers: 0,
        }
    }

    pub fn promised(&self, instance: usize, key: usize) -> &Promised {
        &self.promised[instance][key]
    }

    /// The instance has acknowledged a write of the key, or shown its row to an admin.
    pub fn acknowledged(&mut self, instance: usize, key: usize, bound: Bound, lines: &[Line]) {
        remember(&mut self.promised[instance][key].own, bound, lines);
    }

    /// The instance has noticed a contradiction, while `primary` was the newest line of the shard.
    pub fn gave_up(&mut self, instance: usize, shard: usize, now: Micro, primary: usize) {
        self.given_up[instance][shard] = (now, primary);
    }

    /// The instance was started again, and remembers nothing.
    pub fn started(&mut self, instance: usize, now: Micro) {
        self.started[instance] = now;
    }

    /// # Errors
    /// What is wrong with the answer.
    pub fn check(&mut self, lines: &[Line], answer: &Answer<'_>) -> Result<(), String> {
        self.answers += 1;
        self.degraded_answers += u64::from(answer.degraded);
        if answer.degraded && answer.token.is_some() {
            return Err(format!("{}: degraded, for a token", describe(answer)));
        }
        let mut as_of: Option<Bound> = None;
        let (mut explained, mut ambiguous) = (false, false);
        for (index, line) in lines.iter().enumerate() {
            let Some(from) = self.first_seq(index, lines, answer) else { continue };
            let Some(seq) = line.first_seq_of(answer.key, answer.value, from) else { continue };
            explained = true;
            let time = seq.checked_sub(1).map_or(0, |index| line.log[index as usize].time);
            let bound = Bound { at: line.position(seq), time };
            ambiguous |= as_of.is_some_and(|other| other != bound);
            as_of = Some(bound);
        }
        if !explained {
            return Err(self.explain(lines, answer));
        }
        // If the answer fits several states, it promises nothing to later readers.
        if let Some(bound) = as_of.filter(|_| !ambiguous && !answer.degraded) {
            remember(&mut self.promised[answer.instance][answer.key].seen, bound, lines);
        }
        Ok(())
    }

    /// The first seq of the line that the answer may be as of; `None` if it may not be of this
    /// line.
    fn first_seq(&self, index: usize, lines: &[Line], answer: &Answer<'_>) -> Option<u64> {
        let line = &lines[index];
        let oldest = match answer.degraded {
            true => answer.now.saturating_sub(self.degraded + answer.waited),
            false => answer.arrived.saturating_sub(self.staleness),
        };
        let (given_up, primary) = self.given_up[answer.instance][answer.shard];
        let late_enough = |index: usize| {
            // A degraded answer may come from any server that is young enough. So may any answer in
            // a group, whose servers prove themselves by beats.
            let any = answer.degraded || self.has_beats;
            let known = answer.arrived <= given_up || index >= primary || any;
            lines[index].ended() >= oldest && known
        };
        if !late_enough(index) {
            return None;
        }
        // Before the fork another primary was the primary, and its line has those changes too.
        let mut from = line.forked_at.max(line.seq_at(oldest));
        // A memory that was fresh by an earlier line may have applied a few changes of this line
        // since. A poll brings a few at a time, and only the last one makes memory fresh by this
        // line.
        for before in (0..index).filter(|&before| late_enough(before)) {
            let shared = lines[before + 1..=index].iter().map(|line| line.forked_at).min();
            if let Some(shared) = shared.filter(|&seq| lines[before].seq_at(oldest) <= seq) {
                from = from.min(shared);
            }
        }
        let now = &self.promised[answer.instance][answer.key];
        let promised = answer.promised.unwrap_or(now);
        for bound in promised.own.iter().chain(&answer.token) {
            if answer.degraded && given_up.max(self.started[answer.instance]) >= bound.time {
                // The instance has forgotten the write since, and a replica may lack it.
                continue;
            }
            if answer.degraded && !line.contains(bound.at) && line.seq() > bound.at.seq {
                // A replica of another history that is ahead of the cursor cannot be told from one
                // of ours.
                continue;
            }
            if line.contains(bound.at) {
                from = from.max(bound.at.seq);
            } else if line.ended() < bound.time {
                return None;
            } else {
                from = from.max(line.seq_at(bound.time));
            }
        }
        // A token is never answered from below its seq, also by a line that has lost its write.
        from = from.max(answer.token.map_or(0, |bound| bound.at.seq));
        if from > line.seq() {
            return None;
        }
        let seen = promised.seen.iter().filter(|bound| !answer.degraded && line.contains(bound.at));
        Some(seen.fold(from, |from, bound| from.max(bound.at.seq)))
    }

    fn explain(&self, lines: &[Line], answer: &Answer<'_>) -> String {
        let mut text = format!("{} is of no state that it may be as of", describe(answer));
        let promised = answer.promised.unwrap_or(&self.promised[answer.instance][answer.key]);
        text += &format!("\n  promised {promised:?}, token {:?}", answer.token);
        text += &format!("\n  given up {:?}", self.given_up[answer.instance][answer.shard]);
        for (index, line) in lines.iter().enumerate() {
            text += &format!("\n  line {index}, born {}, died {}", line.born, line.died);
            text += &format!(", may be as of {:?} to", self.first_seq(index, lines, answer));
            text += &format!(" {}; last changes of the key:", line.seq());
            let changes = (1..=line.seq())
                .rev()
                .map(|seq| (&line.log[seq as usize - 1], seq))
                .filter(|(c, _)| c.key == answer.key);
            for (change, seq) in changes.take(4) {
                text += &format!(" seq {seq} at {} to {:?},", change.time, change.new);
            }
        }
        text
    }
}

fn describe(answer: &Answer<'_>) -> String {
    let Answer { instance, shard, key, value, arrived, now, degraded, .. } = answer;
    format!(
        "instance {instance}, shard {shard}, key {key}: {value:?} \
         (arrived {arrived}, now {now}, degraded {degraded})"
    )
}

/// Adds a bound, and drops bounds that others imply. About one for each line is left.
fn remember(bounds: &mut Vec<Bound>, new: Bound, lines: &[Line]) {
    if new.at.seq == 0 {
        return;
    }
    let implied = |weak: &Bound, strong: &Bound| {
        weak.at.seq <= strong.at.seq
            && lines.iter().all(|line| !line.contains(strong.at) || line.contains(weak.at))
    };
    if bounds.iter().any(|old| implied(&new, old)) {
        return;
    }
    bounds.retain(|old| !implied(old, &new));
    bounds.push(new);
}
