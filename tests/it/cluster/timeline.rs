//! The states that an id may have gone through, in order.
//!
//! Each id has one writer, which ends each write before it begins the next. So the order is known,
//! and only writes of unknown outcome may have happened or not. A failover that lost writes begins
//! another timeline.

use super::history::{At, Failover, History, KeyHistory, Outcome, State, Write};
use std::time::Duration;

/// How long a write may still take effect after its client gave up, because the request may be
/// under way. The time is short, because aka begins no transaction after the deadline of a request.
pub const LATE: Duration = Duration::from_secs(20);

/// The states that an id may have had on one primary.
pub struct Timeline {
    pub from: At,
    /// When the primary was lost.
    pub until: At,
    /// The first one is the state at the beginning.
    pub steps: Vec<Step>,
    /// Writes after this time were lost before this timeline began.
    pub copied: At,
}

pub struct Step {
    pub state: State,
    pub began: At,
    /// From this time on the step had certainly taken effect. `None`: it may never have.
    pub certain: Option<At>,
    /// The index of the write, and the instance that made it. `None` for the first step.
    pub write: Option<(usize, usize)>,
}

impl Timeline {
    /// One for each primary that the id's shard has had.
    pub fn of(key: &KeyHistory, history: &History) -> Vec<Self> {
        let (failovers, writes) = (history.failovers(key.shard), key.writes());
        let lost_at = |index: usize| failovers.get(index).map_or(At::MAX, |next| next.lost);
        let first = Self::new(At::ZERO, lost_at(0), None, At::ZERO, &writes);
        let later = failovers.iter().enumerate().map(|(index, failover)| {
            let Failover { replaced, copied, held, .. } = failover;
            let held = held.get(&key.id).copied();
            Self::new(*replaced, lost_at(index + 1), held, copied.1, &writes)
        });
        std::iter::once(first).chain(later).collect()
    }

    fn new(from: At, until: At, held: State, copied: At, writes: &[Write]) -> Self {
        let beginning = Step { state: held, began: from, certain: Some(from), write: None };
        let written = writes.iter().enumerate().filter_map(|(index, write)| {
            let certain = match write.outcome {
                Outcome::Refused(_) => return None,
                Outcome::Unknown(_) if write.ended + LATE < from => return None,
                Outcome::Acknowledged { .. } if write.ended < from => return None,
                _ if write.began > until => return None,
                // A write that was under way when the primary was replaced may be on either primary,
                // or lost.
                Outcome::Acknowledged { .. } if write.began >= from && write.ended <= until => {
                    Some(write.ended)
                }
                _ => None,
            };
            let (state, began) = (write.to, write.began);
            Some(Step { state, began, certain, write: Some((index, write.instance)) })
        });
        let steps = std::iter::once(beginning).chain(written).collect();
        Self { from, until, steps, copied }
    }

    /// The first step from `floor` on that shows this state and had begun by this time.
    pub fn find(&self, state: State, floor: usize, by: At) -> Option<usize> {
        (floor..self.steps.len())
            .find(|&index| self.steps[index].state == state && self.steps[index].began <= by)
    }

    /// The last of the `wanted` steps that was certain by this time.
    pub fn reached(&self, by: At, wanted: impl Fn(&Step) -> bool) -> usize {
        let certain = |step: &Step| step.certain.is_some_and(|at| at <= by) && wanted(step);
        self.steps.iter().rposition(certain).unwrap_or(0)
    }

    /// The step of a write.
    pub fn step_of(&self, write: usize) -> Option<usize> {
        self.steps.iter().position(|step| step.write.is_some_and(|(index, _)| index == write))
    }
}
