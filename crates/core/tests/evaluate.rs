//! Thousands of random groups of jobs on a shard in memory. The rows that
//! [`aka_core::write::evaluate`] says to write must keep every invariant, and its answers must be
//! true (P7).

use aka_core::domain::{ForwardRow, Id, InverseRow, Key, Micros, Position, Project, Stamp};
use aka_core::write::{ChangeSet, Clock, ReadSet};
use aka_core::write::{Effect, StepRefusal, WriteStep, evaluate};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::{HashMap, HashSet};

const IDS: [&str; 5] = ["a", "b", "c", "d", "e"];
const LIMIT: u64 = 3;

/// A shard in memory that owns every slot.
#[derive(Default)]
struct Shard {
    forward: HashMap<Key, ForwardRow>,
    inverse: HashSet<(Key, Id, Stamp)>,
    at: Position,
}

impl Shard {
    fn see(&self) -> ReadSet {
        let mut seen = ReadSet { forward: self.forward.clone(), ..ReadSet::default() };
        for (canonical, alias, stamp) in &self.inverse {
            let (canonical, alias, stamp) = (canonical.clone(), alias.clone(), *stamp);
            let row = InverseRow { canonical: canonical.clone(), alias, stamp, created: Micros(0) };
            seen.pins.entry(canonical).or_default().push(row);
        }
        for (canonical, rows) in &seen.pins {
            let aliases: HashSet<_> = rows.iter().map(|row| &row.alias).collect();
            seen.pin_counts.insert(canonical.clone(), aliases.len() as u64);
        }
        seen
    }

    /// Writes the rows, and panics where a database would refuse them.
    fn write(&mut self, changes: ChangeSet) {
        for (key, row) in changes.insert_forward {
            assert!(self.forward.insert(key, row).is_none(), "a duplicate key");
        }
        for (key, row) in changes.replace_forward {
            assert!(self.forward.insert(key, row).is_some(), "replaced nothing");
        }
        for key in changes.delete_forward {
            assert!(self.forward.remove(&key).is_some(), "deleted nothing");
        }
        for row in changes.insert_inverse {
            assert!(self.inverse.insert((row.canonical, row.alias, row.stamp)), "a duplicate key");
        }
        for row in changes.delete_inverse {
            self.inverse.remove(&(row.canonical, row.alias, row.stamp));
        }
        for (change, seq) in changes.log.iter().zip(self.at.seq + 1..) {
            assert_eq!(change.at.seq, seq, "a gap in the log");
        }
        let last = changes.log.last().map_or(self.at, |change| change.at);
        assert_eq!(changes.at, last);
        self.at = changes.at;
    }

    fn assert_invariants(&self) {
        for (alias, row) in &self.forward {
            let canonical = alias.sibling(row.canonical.clone());
            assert!(!self.forward.contains_key(&canonical), "a chain through {canonical:?}");
            let pin = (canonical, alias.id().clone(), row.stamp);
            assert!(self.inverse.contains(&pin), "{alias:?} is not pinned");
            assert!(row.version <= self.at.seq);
        }
        // With one shard every write is one transaction, so there are no orphans.
        assert_eq!(self.inverse.len(), self.forward.len(), "an orphan");
        for canonical in self.inverse.iter().map(|(canonical, ..)| canonical) {
            let count = self.inverse.iter().filter(|(other, ..)| other == canonical).count();
            assert!(count as u64 <= LIMIT, "{canonical:?} has {count} aliases");
        }
    }
}

fn key(id: &str) -> Key {
    let project = Project::new(1).expect("a project");
    Key::new(project, Id::try_from(id).expect("an id"))
}

fn random_job(random: &mut StdRng, shard: &Shard) -> Vec<WriteStep> {
    let mut pick = || key(IDS[random.random_range(0..IDS.len())]);
    let (alias, canonical) = (pick(), pick());
    let version = shard.forward.get(&alias).map_or(1, |row| row.version);
    let expected_version = if random.random_bool(0.8) { version } else { version + 1 };
    let stamp = Stamp::random();
    let pin = WriteStep::Pin {
        canonical: canonical.clone(),
        alias: alias.id().clone(),
        stamp,
        limit: LIMIT,
        orphans: random.random_bool(0.5).then(Vec::new),
    };
    let canonical = canonical.into_id();
    match random.random_range(0..4) {
        0 => vec![WriteStep::Unlink { alias, expected_version }],
        1 => vec![pin, WriteStep::Relink { alias, canonical, stamp, expected_version }],
        // The service refuses an alias of itself before it makes a job.
        _ if canonical == *alias.id() => vec![WriteStep::Unlink { alias, expected_version: 0 }],
        _ => vec![pin, WriteStep::Link { alias, canonical, stamp }],
    }
}

#[test]
fn random_groups_of_jobs_keep_every_invariant() {
    for seed in 0..2_000 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut shard = Shard { at: Position { seq: 0, nonce: 9 }, ..Shard::default() };
        for _ in 0..12 {
            let jobs: Vec<_> = (0..random.random_range(1..8))
                .map(|_| random_job(&mut random, &shard))
                .filter(|job| !points_at_itself(job))
                .collect();
            let steps: Vec<&[WriteStep]> = jobs.iter().map(Vec::as_slice).collect();
            let clock = Clock { at: shard.at, now: Micros(1), ..Clock::default() };
            let before = shard.forward.clone();
            let (answers, changes) = evaluate(&steps, shard.see(), clock, |_| true);
            assert_eq!(answers.len(), jobs.len());
            let written = answers.iter().flatten().flatten().filter(|effect| changes_row(effect));
            assert_eq!(written.count(), changes.log.len(), "a line of the log for each change");
            shard.write(changes);
            shard.assert_invariants();
            if let [job] = jobs.as_slice() {
                assert_answer_is_true(job, &answers[0], &before, &shard);
            }
        }
    }
}

fn points_at_itself(job: &[WriteStep]) -> bool {
    job.iter().any(|step| match step {
        WriteStep::Relink { alias, canonical, .. } => alias.id() == canonical,
        _ => false,
    })
}

fn changes_row(effect: &Effect) -> bool {
    matches!(effect, Effect::Linked { .. } | Effect::Unlinked { .. })
}

/// Checks the answer to a job that was alone in its group against the rows before and after it.
fn assert_answer_is_true(
    job: &[WriteStep],
    answer: &Result<Vec<Effect>, StepRefusal>,
    before: &HashMap<Key, ForwardRow>,
    shard: &Shard,
) {
    let was = |key: &Key| before.get(key);
    match (job.last().expect("a step"), answer) {
        (WriteStep::Link { alias, canonical, .. }, Ok(_)) => {
            assert!(was(alias).is_none());
            assert_eq!(shard.forward[alias].canonical, *canonical);
        }
        (WriteStep::Relink { alias, canonical, expected_version, .. }, Ok(_)) => {
            assert_eq!(was(alias).map(|row| row.version), Some(*expected_version));
            assert_eq!(shard.forward[alias].canonical, *canonical);
        }
        (WriteStep::Unlink { alias, .. }, Ok(_)) => {
            assert!(was(alias).is_some() && !shard.forward.contains_key(alias));
        }
        (_, Err(refused)) => {
            assert_eq!(*before, shard.forward, "{refused:?} must have done nothing");
        }
        (step, Ok(_)) => panic!("no job ends with {step:?}"),
    }
}
