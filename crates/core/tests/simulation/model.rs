//! The model of a shard: the histories of its primaries, and until when each primary answers.
//!
//! A [`Line`] is the whole history of one primary. A failover begins another line with a prefix of
//! the previous one. The changes after the prefix are lost, and their seqs are drawn again with
//! other nonces. All lines are kept, because the checker asks for the state of any line at any
//! time.

use aka_core::domain::Position;

/// Microseconds of the simulated time.
pub type Micro = u64;

/// The canonical id of a key, as a number; `None` if the key is no alias. No two writes use the
/// same canonical id, so a value names its write.
pub type Value = Option<u32>;

#[derive(Clone, Copy)]
pub struct Committed {
    pub nonce: u64,
    pub key: usize,
    pub old: Value,
    pub new: Value,
    pub time: Micro,
    /// The write that made it.
    pub write: u64,
}

pub struct Line {
    pub log: Vec<Committed>,
    /// The present value of each key.
    pub table: Vec<Value>,
    /// The seqs at which each key changed.
    changes: Vec<Vec<u64>>,
    /// The change log was pruned below this seq.
    pub kept_from: u64,
    pub born: Micro,
    /// The seq of the last change that it has in common with the line before it.
    pub forked_at: u64,
    /// When the last connection to this primary was, or will be, cut.
    pub died: Micro,
    /// When it turned read-only. Its connections go on.
    pub demoted_at: Micro,
    /// When it was cut off from its group. It says that it takes writes, but cannot commit.
    pub cut_off_at: Micro,
    /// When another primary began to take writes, if from then on no answer may be of this one.
    pub deposed_at: Micro,
    /// The last beat: its time by the clock of the server that made it, and that server's line.
    pub beat: (Micro, usize),
    /// How far its clock is put forward.
    pub clock_ahead: Micro,
}

impl Line {
    pub fn new(keys: usize) -> Self {
        Self {
            log: Vec::new(),
            table: vec![None; keys],
            changes: vec![Vec::new(); keys],
            kept_from: 1,
            born: 0,
            forked_at: 0,
            died: Micro::MAX,
            demoted_at: Micro::MAX,
            cut_off_at: Micro::MAX,
            deposed_at: Micro::MAX,
            beat: (0, 0),
            clock_ahead: 0,
        }
    }

    pub fn takes_writes(&self, now: Micro) -> bool {
        now >= self.born && now < self.demoted_at
    }

    pub fn can_commit(&self, now: Micro) -> bool {
        self.takes_writes(now) && now < self.cut_off_at
    }

    /// From then on no unmarked answer may be of this line.
    pub fn ended(&self) -> Micro {
        self.died.min(self.deposed_at)
    }

    /// The line of another primary, which has this one's changes up to `seq`.
    pub fn fork(&self, seq: u64, now: Micro) -> Self {
        let changes: Vec<Vec<u64>> = self
            .changes
            .iter()
            .map(|seqs| seqs[..seqs.partition_point(|&changed| changed <= seq)].to_vec())
            .collect();
        Self {
            log: self.log[..seq as usize].to_vec(),
            table: (0..changes.len()).map(|key| self.value_at(key, seq)).collect(),
            changes,
            kept_from: self.kept_from.min(seq.max(1)),
            born: now,
            forked_at: seq,
            died: Micro::MAX,
            demoted_at: Micro::MAX,
            cut_off_at: Micro::MAX,
            deposed_at: Micro::MAX,
            beat: self.beat,
            clock_ahead: 0,
        }
    }

    pub fn seq(&self) -> u64 {
        self.log.len() as u64
    }

    pub fn position(&self, seq: u64) -> Position {
        let nonce = seq.checked_sub(1).map_or(0, |index| self.log[index as usize].nonce);
        Position { seq, nonce }
    }

    pub fn clock(&self) -> Position {
        self.position(self.seq())
    }

    pub fn contains(&self, at: Position) -> bool {
        at.seq <= self.seq() && self.position(at.seq) == at
    }

    /// The seq of the last change that was committed by this time.
    pub fn seq_at(&self, time: Micro) -> u64 {
        self.log.partition_point(|change| change.time <= time) as u64
    }

    pub fn value_at(&self, key: usize, seq: u64) -> Value {
        let seqs = &self.changes[key];
        let last = seqs.partition_point(|&changed| changed <= seq).checked_sub(1)?;
        self.log[seqs[last] as usize - 1].new
    }

    /// The first seq from `from` on at which the key had this value.
    pub fn first_seq_of(&self, key: usize, value: Value, from: u64) -> Option<u64> {
        if self.value_at(key, from) == value {
            return Some(from);
        }
        let seqs = &self.changes[key];
        let later = &seqs[seqs.partition_point(|&changed| changed <= from)..];
        later.iter().copied().find(|&seq| self.log[seq as usize - 1].new == value)
    }

    pub fn commit(&mut self, key: usize, new: Value, nonce: u64, time: Micro, write: u64) -> u64 {
        let old = std::mem::replace(&mut self.table[key], new);
        self.log.push(Committed { nonce, key, old, new, time, write });
        let seq = self.seq();
        self.changes[key].push(seq);
        seq
    }
}

/// The primaries of one shard, in order. New connections lead to the last one.
pub struct ShardModel {
    pub lines: Vec<Line>,
    /// The shard cannot be reached until this time.
    pub away_until: Micro,
}

impl ShardModel {
    pub fn new(keys: usize) -> Self {
        Self { lines: vec![Line::new(keys)], away_until: 0 }
    }

    pub fn primary(&self) -> usize {
        self.lines.len() - 1
    }

    /// The newest line that takes writes already.
    pub fn leading(&self, now: Micro) -> usize {
        self.lines.iter().rposition(|line| line.born <= now).unwrap_or_default()
    }

    pub fn newest(&self) -> &Line {
        &self.lines[self.primary()]
    }

    /// A new primary without the newest `lost` changes. Connections to the old one live until
    /// `died`.
    pub fn fail_over(&mut self, lost: u64, now: Micro, died: Micro) {
        let old = self.newest();
        let seq = old.seq().saturating_sub(lost);
        let new = old.fork(seq, now);
        for line in &mut self.lines {
            line.died = line.died.min(died);
        }
        self.lines.push(new);
    }

    /// Prunes the change log below this seq. The newest change is never pruned.
    pub fn prune(&mut self, below: u64) {
        let primary = self.primary();
        let line = &mut self.lines[primary];
        line.kept_from = line.kept_from.max(below.min(line.seq()).max(1));
    }
}
