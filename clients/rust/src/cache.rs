//! Answers that are remembered for a moment.
//!
//! Two generations: new entries go into the young one. When it holds half of the bound, it becomes the
//! old one, and what was the old one is forgotten. So the bound holds without a list of uses.

use crate::resolved::Resolved;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::mem;
use std::time::Duration;

pub(crate) struct Cache {
    half: usize,
    staleness: Duration,
    generations: Mutex<Generations>,
}

type Remembered = HashMap<(u64, Bytes), (Resolved, Duration)>;

#[derive(Default)]
struct Generations {
    young: Remembered,
    old: Remembered,
}

impl Cache {
    /// `None` if nothing is to be remembered.
    pub fn new(entries: usize, staleness: Duration) -> Option<Self> {
        let half = entries.div_ceil(2);
        (entries > 0).then(|| Self { half, staleness, generations: Mutex::default() })
    }

    /// What is known at this time.
    pub fn get(&self, project: u64, id: &Bytes, now: Duration) -> Option<Resolved> {
        let key = (project, id.clone());
        let generations = self.generations.lock();
        let found = generations.young.get(&key).or_else(|| generations.old.get(&key));
        let (resolved, sent) = found?;
        (now.saturating_sub(*sent) <= self.staleness).then(|| resolved.clone())
    }

    /// Remembers an answer to a request that was sent at this time. What is degraded is not.
    pub fn put(&self, project: u64, id: &Bytes, resolved: &Resolved, sent: Duration) {
        if resolved.degraded {
            return;
        }
        let mut generations = self.generations.lock();
        let key = (project, id.clone());
        // Requests overtake each other. The one that was sent last knows more.
        let known = generations.young.get(&key).or_else(|| generations.old.get(&key));
        if known.is_some_and(|(_, known)| *known > sent) {
            return;
        }
        if generations.young.len() >= self.half {
            generations.old = mem::take(&mut generations.young);
        }
        generations.young.insert(key, (resolved.clone(), sent));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn of(canonical: &'static str) -> Resolved {
        Resolved { canonical: canonical.into(), is_alias: true, degraded: false }
    }

    #[test]
    fn an_entry_lives_from_the_sending_of_its_request() {
        let cache = Cache::new(10, 100 * MS).expect("it is on");
        let id = Bytes::from("a");
        cache.put(1, &id, &of("x"), 1_000 * MS);
        cache.put(1, &id, &of("older"), 999 * MS);
        assert_eq!(cache.get(1, &id, 1_100 * MS), Some(of("x")));
        assert_eq!(cache.get(1, &id, 1_101 * MS), None);
        assert_eq!(cache.get(2, &id, 1_000 * MS), None);
        let degraded = Resolved { degraded: true, ..of("y") };
        cache.put(3, &id, &degraded, 1_000 * MS);
        assert_eq!(cache.get(3, &id, 1_000 * MS), None);
    }

    #[test]
    fn entries_are_bounded() {
        let cache = Cache::new(10, 100 * MS).expect("it is on");
        for n in 0..1_000 {
            cache.put(n, &Bytes::from("a"), &of("x"), MS);
            let generations = cache.generations.lock();
            assert!(generations.young.len() + generations.old.len() <= 10);
        }
        assert!(cache.get(999, &Bytes::from("a"), MS).is_some());
        assert!(Cache::new(0, MS).is_none());
    }
}
