//! The history of a shard that this instance follows (rule 7).
//!
//! Invariant: the applied positions have no gap, and the last one is the cursor. Each position
//! ahead of the cursor is remembered until the feed arrives there and compares the nonces.

use super::law::{self, Standing};
use crate::domain::Position;
use std::collections::{BTreeMap, VecDeque};

/// The positions of the history that are remembered.
#[derive(Debug)]
pub(super) struct History {
    /// The newest position is last. Empty if no cursor is set.
    applied: VecDeque<Position>,
    /// The nonces of positions ahead of the cursor, by seq. Before the first cursor is set, every
    /// position is ahead.
    ahead: BTreeMap<u64, u64>,
    /// How many applied positions may be remembered.
    most_applied: usize,
    /// How many positions ahead of the cursor may be remembered.
    most_ahead: usize,
}

impl History {
    pub fn new(most_applied: usize, most_ahead: usize) -> Self {
        let (applied, ahead) = (VecDeque::new(), BTreeMap::new());
        Self { applied, ahead, most_applied: most_applied.max(1), most_ahead }
    }

    pub fn cursor(&self) -> Option<Position> {
        self.applied.back().copied()
    }

    /// The greatest seq that is known.
    pub fn greatest(&self) -> u64 {
        let ahead = self.ahead.last_key_value().map_or(0, |(&seq, _)| seq);
        ahead.max(self.cursor().map_or(0, |at| at.seq))
    }

    /// The standing of a position that a load, a page or a write brings. A position that is ahead
    /// is remembered.
    pub fn observe(&mut self, at: Position) -> Standing {
        let standing = self.standing(at);
        if standing == Standing::Ahead || standing == Standing::Unknown {
            self.ahead.insert(at.seq, at.nonce);
            if self.ahead.len() > self.most_ahead {
                // The feed stands still while others go on. A position that was dropped here could
                // never be checked, so a new epoch is right.
                return Standing::Contradiction;
            }
        }
        standing
    }

    /// The standing of a position, which is not remembered.
    pub fn standing(&self, at: Position) -> Standing {
        match self.ahead.get(&at.seq) {
            Some(&nonce) if !law::agrees(nonce, at) => Standing::Contradiction,
            _ => law::standing(at, self.cursor(), self.applied_at(at.seq)),
        }
    }

    /// The position that was applied at this seq, if it is remembered.
    fn applied_at(&self, seq: u64) -> Option<Position> {
        let back = usize::try_from(self.cursor()?.seq.checked_sub(seq)?).ok()?;
        let index = self.applied.len().checked_sub(1)?.checked_sub(back)?;
        self.applied.get(index).copied()
    }

    /// Sets the first cursor. Returns false if a remembered position contradicts it.
    pub fn start(&mut self, at: Position) -> bool {
        let fits = self.ahead.get(&at.seq).is_none_or(|&nonce| law::agrees(nonce, at));
        self.ahead = self.ahead.split_off(&(at.seq + 1));
        self.applied.clear();
        self.applied.push_back(at);
        fits
    }

    /// Moves the cursor to the next position. Returns false if another nonce was remembered for it.
    pub fn advance(&mut self, at: Position) -> bool {
        if self.applied.len() == self.most_applied {
            self.applied.pop_front();
        }
        self.applied.push_back(at);
        self.ahead.remove(&at.seq).is_none_or(|nonce| law::agrees(nonce, at))
    }

    /// Forgets everything, because another history begins.
    pub fn forget(&mut self) {
        *self = Self::new(self.most_applied, self.most_ahead);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seq: u64, nonce: u64) -> Position {
        Position { seq, nonce }
    }

    #[test]
    fn each_standing_is_recognized() {
        let mut history = History::new(9, 9);
        assert_eq!(history.observe(at(5, 50)), Standing::Unknown);
        assert!(history.start(at(5, 50)));
        assert_eq!(history.observe(at(5, 50)), Standing::Applied);
        assert_eq!(history.observe(at(5, 51)), Standing::Contradiction);
        assert_eq!(history.observe(at(4, 40)), Standing::Forgotten);
        assert_eq!(history.observe(at(7, 70)), Standing::Ahead);
        assert_eq!(history.observe(at(7, 71)), Standing::Contradiction);
        assert_eq!(history.greatest(), 7);
        assert!(history.advance(at(6, 60)));
        assert!(!history.advance(at(7, 72)), "another nonce was remembered for 7");
        assert_eq!(history.observe(at(6, 60)), Standing::Applied);
    }

    #[test]
    fn a_first_cursor_may_contradict_a_remembered_position() {
        let mut history = History::new(9, 9);
        history.observe(at(5, 50));
        assert!(!history.start(at(5, 51)));
    }
}
