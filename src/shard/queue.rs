//! A bounded queue. Its consumers take all items that have gathered since they last came.

use parking_lot::Mutex;
use std::collections::VecDeque;
use tokio::sync::Notify;

/// The backlog of a shard's lanes, writers, readers or auditor.
pub(super) struct Queue<T> {
    items: Mutex<VecDeque<T>>,
    capacity: usize,
    filled: Notify,
}

/// What adding items came to.
pub(super) struct Pushed<T> {
    /// The items that found no room.
    pub refused: Vec<T>,
    /// How many items there were before, and how many there are with the new ones.
    pub before: usize,
    pub after: usize,
}

impl<T> Queue<T> {
    pub fn new(capacity: usize) -> Self {
        Self { items: Mutex::default(), capacity, filled: Notify::new() }
    }

    /// Adds items. Returns those that found no room.
    pub fn push(&self, items: Vec<T>) -> Vec<T> {
        self.push_within(self.capacity, items).refused
    }

    /// The same with room for so many items, or for the capacity if that is less.
    pub fn push_within(&self, room: usize, mut items: Vec<T>) -> Pushed<T> {
        let mut queue = self.items.lock();
        let before = queue.len();
        let room = self.capacity.min(room);
        let room = room.saturating_sub(before).min(items.len());
        let refused = items.split_off(room);
        queue.extend(items);
        let pushed = Pushed { before, after: queue.len(), refused };
        drop(queue);
        self.filled.notify_one();
        pushed
    }

    /// Takes up to `most` items, perhaps none.
    pub fn take(&self, most: usize) -> Vec<T> {
        let mut queue = self.items.lock();
        let count = queue.len().min(most);
        let taken = queue.drain(..count).collect();
        if !queue.is_empty() {
            // Another consumer may be free, and `push` wakes only one.
            self.filled.notify_one();
        }
        taken
    }

    /// Puts items that were taken back to the front, even if there is no room.
    pub fn put_back(&self, items: Vec<T>) {
        let mut queue = self.items.lock();
        items.into_iter().rev().for_each(|item| queue.push_front(item));
        drop(queue);
        self.filled.notify_one();
    }

    /// Takes all items of which this is true.
    pub fn take_if(&self, mut is_wanted: impl FnMut(&T) -> bool) -> Vec<T> {
        let mut queue = self.items.lock();
        let (taken, left): (VecDeque<_>, _) = queue.drain(..).partition(|item| is_wanted(item));
        *queue = left;
        taken.into()
    }

    /// Takes the items behind the first `most`.
    pub fn take_beyond(&self, most: usize) -> Vec<T> {
        let mut queue = self.items.lock();
        let kept = queue.len().min(most);
        queue.split_off(kept).into()
    }

    /// The least of a value of the items.
    pub fn least<V: Ord>(&self, value: impl Fn(&T) -> V) -> Option<V> {
        self.items.lock().iter().map(value).min()
    }

    /// Waits until there is an item. Another consumer may take it first. Cancel safe.
    pub async fn filled(&self) {
        while self.len() == 0 {
            self.filled.notified().await;
        }
    }

    /// Waits for items, and takes up to `most`. Cancel safe: no item is lost.
    pub async fn wait(&self, most: usize) -> Vec<T> {
        loop {
            self.filled().await;
            let taken = self.take(most);
            if !taken.is_empty() {
                return taken;
            }
        }
    }

    pub fn len(&self) -> usize {
        self.items.lock().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_back_in_order_and_leave_by_place_or_by_choice() {
        let queue = Queue::new(3);
        assert_eq!(queue.push_within(1, vec![3, 4]).refused, [4]);
        let pushed = queue.push_within(9, vec![4, 5, 6]);
        assert_eq!((pushed.before, pushed.after, pushed.refused), (1, 3, vec![6]));
        queue.put_back(vec![1, 2]);
        assert_eq!(queue.least(|&item| item), Some(1));
        assert_eq!(queue.take_beyond(4), [5]);
        assert!(queue.take_beyond(4).is_empty());
        assert_eq!(queue.take_if(|item| item % 2 == 0), [2, 4]);
        assert_eq!(queue.take(9), [1, 3]);
        assert_eq!(queue.least(|&item| item), None);
    }
}
