//! The keys that wait for a shard's lanes, and the pace at which the lanes take them.
//!
//! A query costs the database far more than one key in it. So a lane does not take each key as it
//! comes: if the shard was asked a moment ago, keys gather until the [`Pace`] allows the next
//! query. A full batch never waits, nor does a key that comes when the shard was left alone. If more
//! keys come than the lanes can take in time, there is no [`Room`] for them.

use super::pace::Pace;
use super::queue::Queue;
use super::room::Room;
use aka_core::domain::Key;
use parking_lot::Mutex;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Keys that wait for a lane.
pub(super) struct LaneBacklog {
    keys: Queue<Key>,
    /// How many waiting keys fill a query.
    batch: usize,
    /// Told when a full batch waits.
    full: Notify,
    pace: Mutex<Pace>,
    room: Mutex<Room>,
    /// Held by the lane that takes the next keys. So a key wakes one lane.
    turn: tokio::sync::Mutex<()>,
}

/// The keys of one query, from when it begins until it is over.
pub(super) struct LaneQuery<'a> {
    backlog: &'a LaneBacklog,
    /// How many keys had come when it began.
    came: u64,
}

impl LaneBacklog {
    /// Holds at most `capacity` keys. Queries of fewer than `batch` keys keep a pace of at most
    /// `longest_pace`.
    pub fn new(capacity: usize, batch: usize, longest_pace: Duration) -> Self {
        Self {
            keys: Queue::new(capacity),
            batch,
            full: Notify::new(),
            pace: Mutex::new(Pace::new(longest_pace)),
            room: Mutex::new(Room::new(capacity)),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// Adds keys. Returns those that found no room.
    pub fn push(&self, keys: Vec<Key>) -> Vec<Key> {
        self.pace.lock().came(keys.len());
        let room = self.room.lock().keys();
        let refused = self.keys.push_within(room, keys);
        if self.keys.len() >= self.batch {
            self.full.notify_one();
        }
        refused
    }

    /// Takes all keys, because no lane can ask for them.
    pub fn take_all(&self) -> Vec<Key> {
        self.room.lock().taken(Instant::now(), 0, 0);
        self.keys.take(usize::MAX)
    }

    /// Waits for keys and for the pace, and takes up to `most` keys. Cancel safe: no key is lost.
    pub async fn next(&self, most: usize) -> (Vec<Key>, LaneQuery<'_>) {
        let _turn = self.turn.lock().await;
        loop {
            self.keys.filled().await;
            self.keep_pace(most).await;
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

    /// Waits until the pace allows a query, or a full one can be sent.
    async fn keep_pace(&self, most: usize) {
        let next = self.pace.lock().next();
        let Some(next) = next.filter(|&next| next > Instant::now()) else { return };
        let is_full = async {
            while self.keys.len() < most.min(self.batch) {
                self.full.notified().await;
            }
        };
        tokio::select! {
            () = is_full => {}
            () = tokio::time::sleep_until(next) => {}
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use aka_core::domain::{Id, Project};

    const PACE: Duration = Duration::from_millis(100);
    const BATCH: usize = 10;

    fn backlog() -> LaneBacklog {
        LaneBacklog::new(100, BATCH, PACE)
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
        let (_, query) = backlog.next(BATCH).await;
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
        let ((taken, _), ()) = tokio::join!(backlog.next(BATCH), later);
        assert_eq!(taken.len(), 5);
        let waited = begun.elapsed();
        assert!((PACE / 2..=PACE).contains(&waited), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_batch_does_not_wait() {
        let (backlog, begun) = (busy().await, Instant::now());
        backlog.push(keys(BATCH - 1));
        let last = async { backlog.push(keys(1)) };
        let ((taken, _), _) = tokio::join!(backlog.next(BATCH), last);
        assert_eq!(taken.len(), BATCH);
        assert_eq!(begun.elapsed(), Duration::ZERO);
        backlog.push(keys(2));
        let ((taken, _), begun) = (backlog.next(2).await, begun);
        assert_eq!((taken.len(), begun.elapsed()), (2, Duration::ZERO), "a smaller batch");
    }

    #[tokio::test(start_paused = true)]
    async fn what_slow_lanes_cannot_take_in_time_is_refused_at_once() {
        let backlog = LaneBacklog::new(20_000, BATCH, PACE);
        assert!(backlog.push(keys(15_000)).is_empty());
        for _ in 0..20 {
            let (_, query) = backlog.next(BATCH).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
            query.end();
        }
        assert_eq!(backlog.push(keys(1)).len(), 1);
        while backlog.len() > 0 {
            backlog.next(usize::MAX).await.1.end();
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
        let given_up = tokio::time::timeout(PACE / 4, backlog.next(BATCH)).await;
        assert!(given_up.is_err());
        assert_eq!(backlog.next(BATCH).await.0.len(), 3);
    }
}
