//! The ids that wait to be sent, by project and token.

use crate::error::ResolveError;
use crate::resolved::Resolved;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::time::Instant;

/// How long a batch grows at the most while another one is under way. A server that hangs must not
/// keep ids from the others.
const GROWTH: Duration = Duration::from_millis(5);

pub(crate) type Answer = Result<Resolved, ResolveError>;

/// What ids must have in common to share a batch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct BatchKey {
    pub project: u64,
    pub token: Option<Arc<str>>,
}

/// An id whose answer somebody waits for.
pub(crate) struct Waiting {
    pub id: Bytes,
    pub until: Instant,
    pub traceparent: Option<Arc<str>>,
    pub answer: oneshot::Sender<Answer>,
}

pub(crate) struct Queue {
    lanes: Mutex<Lanes>,
    /// One permit for each id that may still wait.
    pub room: Semaphore,
    /// Something was added, or a batch has ended.
    pub changed: Notify,
    idle: Notify,
    linger: Duration,
    max_batch: usize,
}

#[derive(Default)]
struct Lanes {
    by_key: HashMap<BatchKey, BatchLane>,
    /// The keys of which ids wait, the one that has waited longest first.
    order: VecDeque<BatchKey>,
    closed: bool,
}

/// The ids of one key.
struct BatchLane {
    waiting: VecDeque<Waiting>,
    under_way: usize,
    /// When the first of those that wait came.
    since: Instant,
}

/// When the next batch can be sent.
pub(crate) enum Next {
    Now,
    At(Instant),
    /// Nothing waits.
    Never {
        closed: bool,
    },
}

impl Queue {
    pub fn new(max_queue: usize, max_batch: usize, linger: Duration) -> Self {
        Self {
            lanes: Mutex::default(),
            room: Semaphore::new(max_queue),
            changed: Notify::new(),
            idle: Notify::new(),
            linger,
            max_batch,
        }
    }

    /// Adds ids for which there is room. The caller has taken their permits.
    pub fn push(&self, key: BatchKey, ids: Vec<Waiting>) -> Result<(), ResolveError> {
        let mut lanes = self.lanes.lock();
        if lanes.closed {
            self.room.add_permits(ids.len());
            return Err(ResolveError::Closed);
        }
        let Lanes { by_key, order, .. } = &mut *lanes;
        let since = Instant::now();
        let lane = by_key.entry(key.clone()).or_insert_with(|| BatchLane {
            waiting: VecDeque::new(),
            under_way: 0,
            since,
        });
        if lane.waiting.is_empty() {
            lane.since = since;
            order.push_back(key);
        }
        lane.waiting.extend(ids);
        drop(lanes);
        self.changed.notify_one();
        Ok(())
    }

    /// When the next batch can be sent.
    pub fn next(&self, now: Instant) -> Next {
        let lanes = self.lanes.lock();
        let mut soonest = None::<Instant>;
        for key in &lanes.order {
            let Some(lane) = lanes.by_key.get(key) else { continue };
            let due = self.due(lane);
            if due <= now {
                return Next::Now;
            }
            soonest = Some(soonest.map_or(due, |soonest| soonest.min(due)));
        }
        soonest.map_or(Next::Never { closed: lanes.closed }, Next::At)
    }

    fn due(&self, lane: &BatchLane) -> Instant {
        match lane.under_way {
            _ if lane.waiting.len() >= self.max_batch => lane.since,
            0 => lane.since + self.linger,
            _ => lane.since + self.linger.max(GROWTH),
        }
    }

    /// The next batch, if one is due. Its end must be [told](Self::done).
    pub fn take(&self, now: Instant) -> Option<(BatchKey, Vec<Waiting>)> {
        let mut lanes = self.lanes.lock();
        let is_due = |key: &BatchKey| lanes.by_key.get(key).is_some_and(|l| self.due(l) <= now);
        let index = lanes.order.iter().position(is_due)?;
        let key = lanes.order.remove(index)?;
        let lane = lanes.by_key.get_mut(&key)?;
        let count = lane.waiting.len().min(self.max_batch);
        let batch: Vec<Waiting> = lane.waiting.drain(..count).collect();
        lane.under_way += 1;
        if !lane.waiting.is_empty() {
            lane.since = now;
            lanes.order.push_back(key.clone());
        }
        drop(lanes);
        self.room.add_permits(count);
        Some((key, batch))
    }

    /// A batch of this key has ended.
    pub fn done(&self, key: &BatchKey) {
        let mut lanes = self.lanes.lock();
        if let Some(lane) = lanes.by_key.get_mut(key) {
            lane.under_way -= 1;
            if lane.under_way == 0 && lane.waiting.is_empty() {
                lanes.by_key.remove(key);
            }
        }
        if lanes.by_key.is_empty() {
            self.idle.notify_waiters();
        }
        drop(lanes);
        self.changed.notify_one();
    }

    /// Takes no more ids.
    pub fn close(&self) {
        self.lanes.lock().closed = true;
        self.changed.notify_one();
    }

    /// Waits until nothing waits and nothing is under way.
    pub async fn drained(&self) {
        loop {
            let mut idle = pin!(self.idle.notified());
            idle.as_mut().enable();
            if self.lanes.lock().by_key.is_empty() {
                return;
            }
            idle.await;
        }
    }

    /// Gives up what waits.
    pub fn abandon(&self) {
        let mut lanes = self.lanes.lock();
        lanes.order.clear();
        for lane in lanes.by_key.values_mut() {
            for waiting in lane.waiting.drain(..) {
                let _ = waiting.answer.send(Err(ResolveError::Closed));
            }
        }
    }
}
