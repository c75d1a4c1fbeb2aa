//! What a group of jobs does to a shard: a pure function, so that it can be read and tested as one.

use super::{ChangeSet, Clock, Effect, ReadSet, StepRefusal, WriteStep};
use crate::domain::{Change, ForwardRow, Id, InverseRow, Key, Position, Slot, Stamp, random_u63};
use std::collections::{HashMap, HashSet};

/// Evaluates jobs one after the other, each on what the ones before it left. `owns` says which slots
/// are on this shard: what is removed on both sides of an alias is removed in one transaction then.
pub fn evaluate(
    jobs: &[&[WriteStep]],
    seen: ReadSet,
    clock: Clock,
    owns: impl Fn(Slot) -> bool,
) -> (Vec<Result<Vec<Effect>, StepRefusal>>, ChangeSet) {
    let mut shard = State::new(seen, clock);
    let answers = jobs
        .iter()
        .map(|job| {
            let before = shard.savepoint();
            let done = job.iter().map(|step| shard.step(step, &owns)).collect();
            if Result::is_err(&done) {
                shard.undo(before);
            }
            done
        })
        .collect();
    (answers, shard.into_changes())
}

/// The shard as the transaction sees it, with what it has done so far.
struct State {
    clock: Clock,
    seen: ReadSet,
    /// Forward rows that differ from what was seen.
    forward: HashMap<Key, Option<ForwardRow>>,
    pinned: Vec<InverseRow>,
    /// How many of those each canonical id has.
    newly_pinned: HashMap<Key, u64>,
    unpinned: Vec<InverseRow>,
    log: Vec<Change>,
    /// Forward rows as they were before each change, for a job that is refused half-way.
    undo: Vec<(Key, Option<Option<ForwardRow>>)>,
}

struct Savepoint {
    pinned: usize,
    unpinned: usize,
    log: usize,
    undo: usize,
}

impl State {
    fn new(seen: ReadSet, clock: Clock) -> Self {
        Self {
            clock,
            seen,
            forward: HashMap::new(),
            pinned: Vec::new(),
            newly_pinned: HashMap::new(),
            unpinned: Vec::new(),
            log: Vec::new(),
            undo: Vec::new(),
        }
    }

    fn step(
        &mut self,
        step: &WriteStep,
        owns: &impl Fn(Slot) -> bool,
    ) -> Result<Effect, StepRefusal> {
        match step {
            WriteStep::Pin { canonical, alias, stamp, limit, orphans } => {
                self.pin(canonical, alias, *stamp, *limit, orphans.as_deref())
            }
            WriteStep::Create { alias, canonical, stamp } => self.create(alias, canonical, *stamp),
            WriteStep::Repoint { alias, canonical, stamp, expected_version } => {
                self.repoint(alias, canonical, *stamp, *expected_version, owns)
            }
            WriteStep::Delete { alias, expected_version } => {
                self.delete(alias, *expected_version, owns)
            }
            WriteStep::Unpin(row) => {
                self.unpinned.push(row.clone());
                Ok(Effect::Unpinned)
            }
        }
    }

    fn pin(
        &mut self,
        canonical: &Key,
        alias: &Id,
        stamp: Stamp,
        limit: u64,
        orphans: Option<&[(Id, Stamp)]>,
    ) -> Result<Effect, StepRefusal> {
        if let Some(row) = self.forward_row(canonical) {
            return Err(StepRefusal::IsAliasOf(row.canonical.clone()));
        }
        if self.count_others(canonical, alias, orphans) >= limit {
            return Err(StepRefusal::Full);
        }
        let created = self.clock.now;
        let row = InverseRow { canonical: canonical.clone(), alias: alias.clone(), stamp, created };
        self.pinned.push(row);
        *self.newly_pinned.entry(canonical.clone()).or_default() += 1;
        Ok(Effect::Pinned)
    }

    /// How many aliases `canonical` may have, beside this one. Where nobody has looked which inverse
    /// rows are orphans it errs on the high side: `Full` makes the caller look.
    fn count_others(&self, canonical: &Key, alias: &Id, orphans: Option<&[(Id, Stamp)]>) -> u64 {
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

    fn create(&mut self, alias: &Key, canonical: &Id, stamp: Stamp) -> Result<Effect, StepRefusal> {
        if let Some(row) = self.forward_row(alias) {
            let row = row.clone();
            let same = row.canonical == *canonical;
            return Err(if same { StepRefusal::Unchanged(row) } else { StepRefusal::Taken(row) });
        }
        if self.is_pinned(alias) {
            return Err(StepRefusal::Pinned);
        }
        let created = self.clock.now;
        let row = self.change(alias, None, |version, updated| ForwardRow {
            canonical: canonical.clone(),
            version,
            stamp,
            created,
            updated,
        });
        Ok(Effect::Stored { row, stale_pin: None })
    }

    fn repoint(
        &mut self,
        alias: &Key,
        canonical: &Id,
        stamp: Stamp,
        expected_version: u64,
        owns: &impl Fn(Slot) -> bool,
    ) -> Result<Effect, StepRefusal> {
        let old = self.forward_row(alias).ok_or(StepRefusal::NotFound)?.clone();
        if old.canonical == *canonical {
            return Err(StepRefusal::Unchanged(old));
        }
        if old.version != expected_version {
            return Err(StepRefusal::Stale(old));
        }
        let created = old.created;
        let row = self.change(alias, Some(&old), |version, updated| ForwardRow {
            canonical: canonical.clone(),
            version,
            stamp,
            created,
            updated,
        });
        Ok(Effect::Stored { row, stale_pin: self.release(alias, &old, owns) })
    }

    fn delete(
        &mut self,
        alias: &Key,
        expected_version: u64,
        owns: &impl Fn(Slot) -> bool,
    ) -> Result<Effect, StepRefusal> {
        let old = self.forward_row(alias).ok_or(StepRefusal::NotFound)?.clone();
        if expected_version != 0 && old.version != expected_version {
            return Err(StepRefusal::Stale(old));
        }
        let at = self.tick();
        self.set_forward(alias, None);
        self.record(at, alias, Some(&old), None);
        Ok(Effect::Deleted { stale_pin: self.release(alias, &old, owns) })
    }

    /// The inverse row of a forward row that is gone: removed here, or by the caller elsewhere.
    fn release(
        &mut self,
        alias: &Key,
        old: &ForwardRow,
        owns: &impl Fn(Slot) -> bool,
    ) -> Option<InverseRow> {
        let row = InverseRow {
            canonical: alias.sibling(old.canonical.clone()),
            alias: alias.id().clone(),
            stamp: old.stamp,
            created: old.updated,
        };
        if !owns(row.canonical.slot()) {
            return Some(row);
        }
        self.unpinned.push(row);
        None
    }

    fn change(
        &mut self,
        alias: &Key,
        old: Option<&ForwardRow>,
        new: impl FnOnce(u64, crate::domain::Micros) -> ForwardRow,
    ) -> ForwardRow {
        let at = self.tick();
        let row = new(at.seq, self.clock.now);
        self.set_forward(alias, Some(row.clone()));
        self.record(at, alias, old, Some(&row));
        row
    }

    /// The next position of the shard.
    fn tick(&self) -> Position {
        let last = self.log.last().map_or(self.clock.at, |change| change.at);
        Position { seq: last.seq + 1, nonce: random_u63() }
    }

    fn record(
        &mut self,
        at: Position,
        alias: &Key,
        old: Option<&ForwardRow>,
        new: Option<&ForwardRow>,
    ) {
        let canonical = |row: &ForwardRow| row.canonical.clone();
        self.log.push(Change {
            at,
            alias: alias.clone(),
            old: old.map(canonical),
            new: new.map(canonical),
            time: self.clock.now,
        });
    }

    fn forward_row(&self, key: &Key) -> Option<&ForwardRow> {
        match self.forward.get(key) {
            Some(changed) => changed.as_ref(),
            None => self.seen.forward.get(key),
        }
    }

    fn set_forward(&mut self, key: &Key, row: Option<ForwardRow>) {
        let before = self.forward.insert(key.clone(), row);
        self.undo.push((key.clone(), before));
    }

    /// A pin that this transaction takes away still counts: erring on this side costs a retry, on
    /// the other it would break P7.
    fn is_pinned(&self, key: &Key) -> bool {
        self.seen.pin_counts.get(key).is_some_and(|&count| count > 0)
            || self.newly_pinned.get(key).is_some_and(|&count| count > 0)
    }

    fn savepoint(&self) -> Savepoint {
        Savepoint {
            pinned: self.pinned.len(),
            unpinned: self.unpinned.len(),
            log: self.log.len(),
            undo: self.undo.len(),
        }
    }

    fn undo(&mut self, to: Savepoint) {
        for row in self.pinned.drain(to.pinned..) {
            if let Some(count) = self.newly_pinned.get_mut(&row.canonical) {
                *count -= 1;
            }
        }
        self.unpinned.truncate(to.unpinned);
        self.log.truncate(to.log);
        for (key, before) in self.undo.drain(to.undo..).rev() {
            match before {
                Some(changed) => self.forward.insert(key, changed),
                None => self.forward.remove(&key),
            };
        }
    }

    fn into_changes(self) -> ChangeSet {
        let mut changes = ChangeSet {
            at: self.log.last().map_or(self.clock.at, |change| change.at),
            log: self.log,
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
