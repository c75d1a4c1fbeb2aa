//! A shard in the middle of a write transaction: the rows that were read, and over them the changes
//! of the jobs so far.

use super::{ChangeSet, Clock, ReadSet};
use crate::domain::{Change, ForwardRow, Id, InverseRow, Key, Micros, Position, Stamp, random_u63};
use std::collections::{HashMap, HashSet};

/// The rows that were read, and the changes so far.
pub(super) struct Overlay {
    clock: Clock,
    seen: ReadSet,
    /// Forward rows that differ from those that were read.
    forward: HashMap<Key, Option<ForwardRow>>,
    pinned: Vec<InverseRow>,
    /// The number of rows in `pinned` of each canonical id.
    newly_pinned: HashMap<Key, u64>,
    unpinned: Vec<InverseRow>,
    log: Vec<Change>,
    /// For each line of `log` the index of its job.
    jobs: Vec<usize>,
    /// The index of the job that is evaluated.
    job: usize,
    /// What `forward` held before each change, so that a job that is refused half-way can be
    /// undone.
    undo: Vec<(Key, Option<Option<ForwardRow>>)>,
}

/// A state that the overlay can be set back to.
pub(super) struct Savepoint {
    pinned: usize,
    unpinned: usize,
    log: usize,
    undo: usize,
}

impl Overlay {
    pub fn new(seen: ReadSet, clock: Clock) -> Self {
        Self {
            clock,
            seen,
            forward: HashMap::new(),
            pinned: Vec::new(),
            newly_pinned: HashMap::new(),
            unpinned: Vec::new(),
            log: Vec::new(),
            jobs: Vec::new(),
            job: 0,
            undo: Vec::new(),
        }
    }

    /// What is recorded from now on is of the job with this index.
    pub fn begin_job(&mut self, index: usize) {
        self.job = index;
    }

    /// The time of the transaction, by the shard's clock.
    pub fn now(&self) -> Micros {
        self.clock.now
    }

    pub fn forward_row(&self, key: &Key) -> Option<&ForwardRow> {
        match self.forward.get(key) {
            Some(changed) => changed.as_ref(),
            None => self.seen.forward.get(key),
        }
    }

    /// Whether an inverse row pins the key. An inverse row that this transaction removes still
    /// counts. Counting it costs at most a retry; not counting it would break P7.
    pub fn is_pinned(&self, key: &Key) -> bool {
        self.seen.pin_counts.get(key).is_some_and(|&count| count > 0)
            || self.newly_pinned.get(key).is_some_and(|&count| count > 0)
    }

    /// How many aliases `canonical` has besides `alias`.
    ///
    /// Without a list of orphans the count may be too high, because it includes them. If it reaches
    /// the limit, the job is refused as full, and its caller looks for orphans.
    pub fn count_others(
        &self,
        canonical: &Key,
        alias: &Id,
        orphans: Option<&[(Id, Stamp)]>,
    ) -> u64 {
        let Some(orphans) = orphans else {
            let count = |counts: &HashMap<Key, u64>| counts.get(canonical).copied().unwrap_or(0);
            return count(&self.seen.pin_counts) + count(&self.newly_pinned);
        };
        let new = self.pinned.iter().filter(|row| row.canonical == *canonical);
        let orphans: HashSet<(&Id, Stamp)> = orphans.iter().map(|(id, s)| (id, *s)).collect();
        let rows = self.seen.pins.get(canonical).into_iter().flatten().chain(new);
        let others = rows
            .filter(|row| row.alias != *alias && !orphans.contains(&(&row.alias, row.stamp)))
            .map(|row| &row.alias);
        others.collect::<HashSet<_>>().len() as u64
    }

    pub fn pin(&mut self, row: InverseRow) {
        *self.newly_pinned.entry(row.canonical.clone()).or_default() += 1;
        self.pinned.push(row);
    }

    pub fn unpin(&mut self, row: InverseRow) {
        self.unpinned.push(row);
    }

    /// Replaces a forward row. `new` makes the new one from its version and the time.
    pub fn replace(
        &mut self,
        alias: &Key,
        old: Option<&ForwardRow>,
        new: impl FnOnce(u64, Micros) -> ForwardRow,
    ) -> ForwardRow {
        let at = self.next_position();
        let new = new(at.seq, self.clock.now);
        self.record(at, alias, old, Some(new.clone()));
        new
    }

    pub fn remove(&mut self, alias: &Key, old: &ForwardRow) {
        self.record(self.next_position(), alias, Some(old), None);
    }

    fn next_position(&self) -> Position {
        let last = self.log.last().map_or(self.clock.at, |change| change.at);
        Position { seq: last.seq + 1, nonce: random_u63() }
    }

    /// Changes the forward row, and logs the change.
    fn record(
        &mut self,
        at: Position,
        alias: &Key,
        old: Option<&ForwardRow>,
        new: Option<ForwardRow>,
    ) {
        let canonical = |row: &ForwardRow| row.canonical.clone();
        self.log.push(Change {
            at,
            alias: alias.clone(),
            old: old.map(canonical),
            new: new.as_ref().map(canonical),
            time: self.clock.now,
        });
        self.jobs.push(self.job);
        let before = self.forward.insert(alias.clone(), new);
        self.undo.push((alias.clone(), before));
    }

    pub fn savepoint(&self) -> Savepoint {
        Savepoint {
            pinned: self.pinned.len(),
            unpinned: self.unpinned.len(),
            log: self.log.len(),
            undo: self.undo.len(),
        }
    }

    pub fn undo(&mut self, to: Savepoint) {
        for row in self.pinned.drain(to.pinned..) {
            if let Some(count) = self.newly_pinned.get_mut(&row.canonical) {
                *count -= 1;
            }
        }
        self.unpinned.truncate(to.unpinned);
        self.log.truncate(to.log);
        self.jobs.truncate(to.log);
        for (key, before) in self.undo.drain(to.undo..).rev() {
            match before {
                Some(changed) => self.forward.insert(key, changed),
                None => self.forward.remove(&key),
            };
        }
    }

    /// The rows to write.
    pub fn into_changes(self) -> ChangeSet {
        let mut changes = ChangeSet {
            at: self.log.last().map_or(self.clock.at, |change| change.at),
            log: self.log,
            jobs: self.jobs,
            ..ChangeSet::default()
        };
        for (key, row) in self.forward {
            match (self.seen.forward.contains_key(&key), row) {
                (false, Some(row)) => changes.insert_forward.push((key, row)),
                (true, Some(row)) => changes.replace_forward.push((key, row)),
                (true, None) => changes.delete_forward.push(key),
                (false, None) => {}
            }
        }
        // A row that was pinned and unpinned in one transaction was never there.
        let same = |a: &InverseRow, b: &InverseRow| {
            (a.stamp, &a.alias, &a.canonical) == (b.stamp, &b.alias, &b.canonical)
        };
        let (pinned, unpinned) = (self.pinned, self.unpinned);
        let kept = |row: &&InverseRow| !unpinned.iter().any(|gone| same(row, gone));
        changes.insert_inverse = pinned.iter().filter(kept).cloned().collect();
        changes.delete_inverse = unpinned
            .iter()
            .filter(|row| !pinned.iter().any(|new| same(row, new)))
            .cloned()
            .collect();
        changes
    }
}
