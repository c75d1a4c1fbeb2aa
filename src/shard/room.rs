//! How many keys may wait for a shard's lanes, so that none waits long.

use std::time::Duration;
use tokio::time::Instant;

/// How long the last key that finds room should wait. What comes beyond is refused at once: an
/// answer after seconds would be of no use to the caller.
const LONGEST_WAIT: Duration = Duration::from_millis(500);

/// Over how long the rate is measured.
const WINDOW: Duration = Duration::from_millis(100);

/// So many keys find room in any case: a few batches of clients at once are no overload.
const LEAST: usize = 4_096;

/// The room for keys. It is the rate at which lanes take them × [`LONGEST_WAIT`], as long as keys
/// stay behind.
pub(super) struct Room {
    /// The most keys at any rate.
    most: usize,
    /// Since when keys have been taken from a backlog that was never empty, and how many. `None`:
    /// it was empty the last time.
    behind: Option<(Instant, usize)>,
    /// What the last window allows.
    measured: Option<usize>,
}

impl Room {
    pub fn new(most: usize) -> Self {
        Self { most, behind: None, measured: None }
    }

    /// How many keys may wait.
    pub fn keys(&self) -> usize {
        self.measured.unwrap_or(self.most)
    }

    /// A lane took keys, and left others behind, or none.
    pub fn taken(&mut self, now: Instant, keys: usize, left: usize) {
        if left == 0 {
            (self.behind, self.measured) = (None, None);
            return;
        }
        let Some((since, before)) = self.behind else {
            // These keys came earlier: how long they took to be taken is not known.
            self.behind = Some((now, 0));
            return;
        };
        let (taken, time) = (before + keys, now - since);
        if time < WINDOW {
            self.behind = Some((since, taken));
            return;
        }
        let in_wait = taken as f64 * LONGEST_WAIT.as_secs_f64() / time.as_secs_f64();
        self.measured = Some((in_wait as usize).max(LEAST).min(self.most));
        self.behind = Some((now, 0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 20_000;

    /// Takes 100 keys at a time for a second, at this rate, and leaves others behind.
    fn lag(room: &mut Room, start: Instant, keys_a_second: u32) -> Instant {
        let takes = keys_a_second / 100;
        let pause = Duration::from_secs(1) / takes;
        (1..=takes).for_each(|take| room.taken(start + pause * take, 100, 1));
        start + Duration::from_secs(1)
    }

    #[test]
    fn there_is_room_for_what_is_taken_in_half_a_second() {
        let (mut room, start) = (Room::new(MOST), Instant::now());
        assert_eq!(room.keys(), MOST);
        let later = lag(&mut room, start, 20_000);
        assert!(room.keys().abs_diff(10_000) <= 100, "{}", room.keys());
        let later = lag(&mut room, later, 100_000);
        assert_eq!(room.keys(), MOST);
        let later = lag(&mut room, later, 1_000);
        assert_eq!(room.keys(), LEAST);
        room.taken(later, 10, 0);
        assert_eq!(room.keys(), MOST, "the lanes have caught up");
    }

    #[test]
    fn a_pause_without_keys_is_not_a_slow_shard() {
        let (mut room, start) = (Room::new(MOST), Instant::now());
        room.taken(start, 256, 0);
        let later = start + Duration::from_secs(60);
        room.taken(later, 256, 5_000);
        assert_eq!(room.keys(), MOST);
        room.taken(later + WINDOW, 5_000, 1);
        assert_eq!(room.keys(), MOST);
    }
}
