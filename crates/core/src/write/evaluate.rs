//! Decides what a group of jobs does to a shard. It is a pure function, so it can be read and
//! tested on its own.

use super::overlay::Overlay;
use super::{ChangeSet, Clock, Effect, ReadSet, StepRefusal, WriteStep};
use crate::domain::{ForwardRow, Id, InverseRow, Key, Micros, Slot, Stamp};

/// Evaluates jobs one after the other, each on the state that the jobs before it left.
///
/// - `seen`: the rows that the steps [want](WriteStep::wants).
/// - `clock`: the clock row, which the transaction has locked.
/// - `owns`: whether a slot is on this shard. If both ids of an alias are, one transaction removes
///   both of its rows.
///
/// Returns an answer for each job, in order, and the rows to write. An answer is the effect of each
/// step, or the refusal that undid the job.
pub fn evaluate(
    jobs: &[&[WriteStep]],
    seen: ReadSet,
    clock: Clock,
    owns: impl Fn(Slot) -> bool,
) -> (Vec<Result<Vec<Effect>, StepRefusal>>, ChangeSet) {
    let mut shard = Overlay::new(seen, clock);
    let answers = jobs
        .iter()
        .enumerate()
        .map(|(index, job)| {
            shard.begin_job(index);
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

impl Overlay {
    fn step(
        &mut self,
        step: &WriteStep,
        owns: &impl Fn(Slot) -> bool,
    ) -> Result<Effect, StepRefusal> {
        match step {
            WriteStep::Pin { canonical, alias, stamp, limit, orphans } => {
                self.pin_step(canonical, alias, *stamp, *limit, orphans.as_deref())
            }
            WriteStep::Link { alias, canonical, stamp } => self.link(alias, canonical, *stamp),
            WriteStep::Relink { alias, canonical, stamp, expected_version } => {
                self.relink(alias, canonical, *stamp, *expected_version, owns)
            }
            WriteStep::Unlink { alias, expected_version } => {
                self.unlink(alias, *expected_version, owns)
            }
            WriteStep::Unpin(row) => {
                self.unpin(row.clone());
                Ok(Effect::Unpinned)
            }
        }
    }

    fn pin_step(
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
        let (canonical, alias, created) = (canonical.clone(), alias.clone(), self.now());
        self.pin(InverseRow { canonical, alias, stamp, created });
        Ok(Effect::Pinned)
    }

    fn link(&mut self, alias: &Key, canonical: &Id, stamp: Stamp) -> Result<Effect, StepRefusal> {
        if let Some(row) = self.forward_row(alias) {
            let row = row.clone();
            let same = row.canonical == *canonical;
            return Err(if same { StepRefusal::Unchanged(row) } else { StepRefusal::Taken(row) });
        }
        if self.is_pinned(alias) {
            return Err(StepRefusal::Pinned);
        }
        let row = self.point(alias, None, canonical, stamp);
        Ok(Effect::Linked { row, old_pin: None })
    }

    fn relink(
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
            return Err(StepRefusal::VersionMismatch(old));
        }
        let row = self.point(alias, Some(&old), canonical, stamp);
        Ok(Effect::Linked { row, old_pin: self.release(alias, &old, owns) })
    }

    fn unlink(
        &mut self,
        alias: &Key,
        expected_version: u64,
        owns: &impl Fn(Slot) -> bool,
    ) -> Result<Effect, StepRefusal> {
        let old = self.forward_row(alias).ok_or(StepRefusal::NotFound)?.clone();
        if expected_version != 0 && old.version != expected_version {
            return Err(StepRefusal::VersionMismatch(old));
        }
        self.remove(alias, &old);
        Ok(Effect::Unlinked { old_pin: self.release(alias, &old, owns) })
    }

    /// Points the forward row at `canonical`. Returns the new row.
    fn point(
        &mut self,
        alias: &Key,
        old: Option<&ForwardRow>,
        canonical: &Id,
        stamp: Stamp,
    ) -> ForwardRow {
        let row = |version, updated: Micros| {
            let created = old.map_or(updated, |old| old.created);
            ForwardRow { canonical: canonical.clone(), version, stamp, created, updated }
        };
        self.replace(alias, old, row)
    }

    /// Removes the inverse row of `old`, a forward row that is gone. If the inverse row is on
    /// another shard, it is returned, and the caller must remove it there.
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
        self.unpin(row);
        None
    }
}
