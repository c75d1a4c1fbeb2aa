//! The keys that wait for a shard's lanes, and the pace at which the lanes take them.
//!
//! A query costs the database far more than one key in it. So a lane does not take each key as it
//! comes: if the shard was asked a moment ago, keys gather until the [`Pace`] allows the next
//! query. A full batch never waits, nor does a key that comes when the shard was left alone. If more
//! keys come than the lanes can take in time, there is no [`Room`] for them.

use super::lane_turns::LaneTurns;
use super::pace::Pace;
use super::queue::Queue;
use super::room::Room;
use aka_core::domain::Key;
use parking_lot::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// Keys that wait for a lane.
pub(super) struct LaneBacklog {
    keys: Queue<Key>,
    /// How many waiting keys fill a query.
    batch: usize,
    pace: Mutex<Pace>,
    room: Mutex<Room>,
    turns: LaneTurns,
}

/// The keys of one query, from when it begins until it is over.
pub(super) struct LaneQuery<'a> {
    backlog: &'a LaneBacklog,
    /// How many keys had come when it began.
    came: u64,
}

/// A lane that waits for keys.
struct Waiting<'a> {
    backlog: &'a LaneBacklog,
    lane: usize,
}

impl LaneBacklog {
    /// For so many lanes. Holds at most `capacity` keys. Queries of fewer than `batch` keys keep a
    /// pace of at most `longest_pace`.
    pub fn new(lanes: usize, capacity: usize, batch: usize, longest_pace: Duration) -> Self {
        Self {
            keys: Queue::new(capacity),
            batch,
            pace: Mutex::new(Pace::new(longest_pace)),
            room: Mutex::new(Room::new(capacity)),
            turns: LaneTurns::new(lanes),
        }
    }

    /// Adds keys. Returns those that found no room.
    pub fn push(&self, keys: Vec<Key>) -> Vec<Key> {
        self.pace.lock().came(keys.len());
        let room = self.room.lock().keys();
        let pushed = self.keys.push_within(room, keys);
        // A lane waits for the first key, then perhaps for a full batch.
        if pushed.before == 0 || (pushed.before < self.batch && pushed.after >= self.batch) {
            self.turns.wake();
        }
        pushed.refused
    }

    /// Takes all keys, because no lane can ask for them.
    pub fn take_all(&self) -> Vec<Key> {
        self.room.lock().taken(Instant::now(), 0, 0);
        self.keys.take(usize::MAX)
    }

    /// Waits until it is the turn of this lane, for keys and for the pace, and takes up to `most`
    /// keys. Lanes are numbered from 0. Cancel safe: no key is lost.
    pub async fn next(&self, lane: usize, most: usize) -> (Vec<Key>, LaneQuery<'_>) {
        self.turns.enter(lane);
        let _waiting = Waiting { backlog: self, lane };
        loop {
            if !self.turns.is_first(lane) || self.keys.len() == 0 {
                self.turns.told(lane).await;
                continue;
            }
            if let Some(next) = self.pause(most) {
                tokio::select! {
                    () = self.turns.told(lane) => {}
                    () = tokio::time::sleep_until(next) => {}
                }
                // It is looked again: another lane may be the first now.
                continue;
            }
            let keys = self.keys.take(most);
            // They may have been taken because the shard went down.
            if !keys.is_empty() {
                let now = Instant::now();
                self.room.lock().taken(now, keys.len(), self.keys.len());
                let came = self.pace.lock().begin(now);
                return (keys, LaneQuery { backlog: self, came });
            }
        }
    }

    /// Until when the pace allows no query. `None`: one may begin, or a full one can be sent.
    fn pause(&self, most: usize) -> Option<Instant> {
        if self.keys.len() >= most.min(self.batch) {
            return None;
        }
        self.pace.lock().next().filter(|&next| next > Instant::now())
    }

    pub fn len(&self) -> usize {
        self.keys.len()
    }
}

impl LaneQuery<'_> {
    /// The query is over, with whatever result.
    pub fn end(self) {
        self.backlog.pace.lock().end(self.came);
    }
}

impl Drop for Waiting<'_> {
    /// The lane goes, with keys or without. If keys are left, it is the turn of the next one.
    fn drop(&mut self) {
        let Self { backlog, lane } = self;
        backlog.turns.leave(*lane);
        if backlog.keys.len() > 0 {
            backlog.turns.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aka_core::domain::{Id, Project};
    use std::task::Poll;

    const PACE: Duration = Duration::from_millis(100);
    const BATCH: usize = 10;

    fn backlog() -> LaneBacklog {
        LaneBacklog::new(3, 100, BATCH, PACE)
    }

    fn keys(count: usize) -> Vec<Key> {
        let project = Project::new(7).expect("a project");
        (0..count)
            .map(|n| Key::new(project, Id::try_from(&*format!("id-{n}")).expect("an id")))
            .collect()
    }

    /// Asks for one key, and lets `meanwhile` keys come before the answer.
    async fn ask(backlog: &LaneBacklog, meanwhile: usize) {
        backlog.push(keys(1));
        let (_, query) = backlog.next(0, BATCH).await;
        for _ in 0..meanwhile {
            backlog.push(keys(1));
        }
        query.end();
    }

    #[tokio::test(start_paused = true)]
    async fn callers_who_ask_one_after_the_other_do_not_wait() {
        let (backlog, begun) = (backlog(), Instant::now());
        for _ in 0..100 {
            ask(&backlog, 0).await;
        }
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    /// A backlog whose shard is so busy that the pace is the longest one.
    async fn busy() -> LaneBacklog {
        let backlog = backlog();
        for _ in 0..100 {
            ask(&backlog, 2).await;
            backlog.take_all();
        }
        backlog
    }

    #[tokio::test(start_paused = true)]
    async fn under_load_keys_gather_for_the_time_of_the_pace() {
        let (backlog, begun) = (busy().await, Instant::now());
        backlog.push(keys(1));
        let later = async {
            tokio::time::sleep(PACE / 2).await;
            backlog.push(keys(4));
        };
        let ((taken, _), ()) = tokio::join!(backlog.next(0, BATCH), later);
        assert_eq!(taken.len(), 5);
        let waited = begun.elapsed();
        assert!((PACE / 2..=PACE).contains(&waited), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_batch_does_not_wait() {
        let (backlog, begun) = (busy().await, Instant::now());
        backlog.push(keys(BATCH - 1));
        let last = async { backlog.push(keys(1)) };
        let ((taken, _), _) = tokio::join!(backlog.next(0, BATCH), last);
        assert_eq!(taken.len(), BATCH);
        assert_eq!(begun.elapsed(), Duration::ZERO);
        backlog.push(keys(2));
        let ((taken, _), begun) = (backlog.next(0, 2).await, begun);
        assert_eq!((taken.len(), begun.elapsed()), (2, Duration::ZERO), "a smaller batch");
    }

    #[tokio::test(start_paused = true)]
    async fn what_slow_lanes_cannot_take_in_time_is_refused_at_once() {
        let backlog = LaneBacklog::new(1, 20_000, BATCH, PACE);
        assert!(backlog.push(keys(15_000)).is_empty());
        for _ in 0..20 {
            let (_, query) = backlog.next(0, BATCH).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
            query.end();
        }
        assert_eq!(backlog.push(keys(1)).len(), 1);
        while backlog.len() > 0 {
            backlog.next(0, usize::MAX).await.1.end();
        }
        assert!(backlog.push(keys(15_000)).is_empty(), "the lanes have caught up");
    }

    #[tokio::test(start_paused = true)]
    async fn a_shard_that_was_left_alone_is_asked_at_once() {
        let backlog = busy().await;
        tokio::time::sleep(PACE).await;
        let begun = Instant::now();
        ask(&backlog, 0).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_that_gives_up_its_turn_leaves_the_keys() {
        let backlog = busy().await;
        backlog.push(keys(3));
        let given_up = tokio::time::timeout(PACE / 4, backlog.next(0, BATCH)).await;
        assert!(given_up.is_err());
        assert_eq!(backlog.next(0, BATCH).await.0.len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_lane_takes_keys_and_the_others_only_what_it_leaves() {
        let backlog = backlog();
        let mut lanes: Vec<_> = (0..3).map(|lane| Box::pin(backlog.next(lane, 2))).collect();
        // The last one waits first.
        for lane in lanes.iter_mut().rev() {
            assert!(futures::poll!(lane).is_pending());
        }
        backlog.push(keys(1));
        assert!(futures::poll!(&mut lanes[2]).is_pending(), "it is not its turn");
        assert!(futures::poll!(&mut lanes[1]).is_pending(), "it is not its turn");
        let Poll::Ready((taken, first)) = futures::poll!(&mut lanes[0]) else {
            panic!("the first lane did not take the key");
        };
        assert_eq!(taken.len(), 1);
        // The first lane is busy. The second takes what comes, and the third what that leaves.
        backlog.push(keys(BATCH));
        let third = lanes.pop().expect("three lanes");
        let (second, third) = tokio::join!(lanes.pop().expect("two lanes"), third);
        assert_eq!((second.0.len(), third.0.len(), backlog.len()), (2, 2, BATCH - 4));
        first.end();
        assert_eq!(backlog.next(0, BATCH).await.0.len(), BATCH - 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_that_comes_back_takes_over_from_one_that_keeps_the_pace() {
        let backlog = busy().await;
        backlog.push(keys(1));
        let mut third = Box::pin(backlog.next(2, BATCH));
        assert!(futures::poll!(&mut third).is_pending(), "it keeps the pace");
        let (taken, _) = backlog.next(0, BATCH).await;
        assert_eq!(taken.len(), 1);
        backlog.push(keys(BATCH));
        assert_eq!(third.await.0.len(), BATCH);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_that_goes_leaves_its_turn_to_the_next() {
        let backlog = busy().await;
        backlog.push(keys(2));
        let mut first = Box::pin(backlog.next(0, BATCH));
        let mut second = Box::pin(backlog.next(1, BATCH));
        assert!(futures::poll!(&mut first).is_pending(), "it keeps the pace");
        assert!(futures::poll!(&mut second).is_pending(), "it is not its turn");
        drop(first);
        assert_eq!(second.await.0.len(), 2);
    }
}
