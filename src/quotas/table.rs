//! The buckets of the projects that ask.

use super::QuotaKind;
use super::bucket::{QuotaBucket, Rate};
use aka_core::clock::Boottime;
use aka_core::domain::Project;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;

/// The parts of the table. Calls of different projects seldom wait for each other.
const PARTS: usize = 16;

/// The most projects of one part. It bounds the memory for buckets, to some megabytes.
const MOST: usize = 4_096;

/// A request that is above the quota of its project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is more than project {project} may {} in a second on this instance; try again in {} ms",
    match .kind { QuotaKind::Lookups => "look up", QuotaKind::Writes => "write" },
    .wait.as_millis()
)]
pub struct QuotaExceeded {
    pub project: u64,
    pub kind: QuotaKind,
    /// After this time the same request would be taken, if no other comes first. Whole
    /// milliseconds.
    pub wait: Duration,
}

/// The buckets of one project.
#[derive(Clone, Copy, Debug, Default)]
struct Buckets {
    lookups: QuotaBucket,
    writes: QuotaBucket,
}

impl Buckets {
    fn of(&mut self, kind: QuotaKind) -> &mut QuotaBucket {
        match kind {
            QuotaKind::Lookups => &mut self.lookups,
            QuotaKind::Writes => &mut self.writes,
        }
    }

    fn full_at(&self) -> Boottime {
        self.lookups.full_at().max(self.writes.full_at())
    }
}

/// The buckets of all projects that have asked lately.
#[derive(Default)]
pub(super) struct QuotaTable {
    parts: [Mutex<HashMap<Project, Buckets>>; PARTS],
}

impl QuotaTable {
    /// All buckets are full again. The times that they hold are those of the old rates.
    pub fn refill(&self) {
        self.parts.iter().for_each(|part| part.lock().clear());
    }

    /// Takes so many ids from the quota of a project, all or none.
    pub fn take(
        &self,
        project: Project,
        kind: QuotaKind,
        ids: usize,
        rate: Rate,
    ) -> Result<(), QuotaExceeded> {
        let now = Boottime::now();
        let mut part = self.parts[project.get() as usize % PARTS].lock();
        if !part.contains_key(&project) && part.len() >= MOST {
            make_room(&mut part, now);
        }
        let taken = part.entry(project).or_default().of(kind).take(ids, rate, now);
        taken.map_err(|wait| {
            // Rounded up, so that it is enough.
            let wait =
                Duration::from_millis((wait + Duration::from_nanos(999_999)).as_millis() as u64);
            QuotaExceeded { project: project.get(), kind, wait }
        })
    }
}

/// Forgets full buckets. If there are none, the fullest one is forgotten, whose project gets a little
/// more than its quota.
fn make_room(part: &mut HashMap<Project, Buckets>, now: Boottime) {
    part.retain(|_, buckets| !(buckets.lookups.is_full(now) && buckets.writes.is_full(now)));
    if part.len() >= MOST {
        let fullest = part.iter().min_by_key(|(_, buckets)| buckets.full_at());
        if let Some(project) = fullest.map(|(project, _)| *project) {
            part.remove(&project);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_s: 10.0, burst: Duration::from_secs(1) };

    fn project(number: usize) -> Project {
        Project::new(number as u64).expect("a project")
    }

    #[test]
    fn each_project_and_each_kind_has_a_quota_of_its_own() {
        let table = QuotaTable::default();
        let take = |number, kind| table.take(project(number), kind, 10, RATE);
        take(1, QuotaKind::Lookups).expect("a full bucket");
        let exceeded = take(1, QuotaKind::Lookups).expect_err("an empty bucket");
        assert!(exceeded.wait > Duration::from_millis(900), "{exceeded}");
        assert!(exceeded.to_string().contains("project 1 may look up"), "{exceeded}");
        take(1, QuotaKind::Writes).expect("a full bucket");
        take(17, QuotaKind::Lookups).expect("a full bucket, in the same part");
    }

    #[test]
    fn any_number_of_projects_takes_a_bounded_number_of_buckets() {
        let table = QuotaTable::default();
        // No bucket is full again before the test is over.
        let rate = Rate { per_s: 0.1, burst: Duration::from_secs(100) };
        let projects = PARTS * (MOST + 20);
        for number in 1..=projects {
            let taken = table.take(project(number), QuotaKind::Lookups, 10, rate);
            taken.expect("a full bucket");
        }
        let buckets: usize = table.parts.iter().map(|part| part.lock().len()).sum();
        assert_eq!(buckets, PARTS * MOST);
        let last = table.take(project(projects), QuotaKind::Lookups, 10, rate);
        assert!(last.is_err(), "the newest are remembered");
    }
}
