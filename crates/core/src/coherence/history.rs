//! Where in a shard's history this instance is, and whether others are in the same one.
//!
//! A seq alone does not name a point in time: after a failover that lost the last writes, a new
//! primary reaches the same seq again with other changes. The nonce tells the two apart.

use super::law;
use crate::domain::Position;
use std::collections::{BTreeMap, VecDeque};

/// How a position that a load, a look or a write brings stands to this history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// No cursor is set yet: nothing can be said.
    Unknown,
    /// It was applied here, with this nonce.
    Applied,
    /// Applied too long ago to be checked.
    Forgotten,
    /// The feed is not there yet; it is remembered and checked when the feed arrives.
    Ahead,
    /// It is of another history.
    Contradiction,
}

#[derive(Debug)]
pub(super) struct History {
    /// Newest last, without gaps; the last is the cursor. Empty: no cursor is set.
    applied: VecDeque<Position>,
    ahead: BTreeMap<u64, u64>,
    /// How many of the last applied positions are remembered, to check what comes in late.
    most_applied: usize,
    /// How many positions ahead of the cursor are remembered until the feed arrives there.
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

    /// The greatest seq that anybody has brought.
    pub fn greatest(&self) -> u64 {
        let ahead = self.ahead.last_key_value().map_or(0, |(&seq, _)| seq);
        ahead.max(self.cursor().map_or(0, |at| at.seq))
    }

    /// Checks a position that a load or a write brings, and remembers one that is ahead.
    pub fn observe(&mut self, at: Position) -> Standing {
        let standing = self.standing(at);
        if standing == Standing::Ahead || standing == Standing::Unknown {
            match self.ahead.insert(at.seq, at.nonce) {
                Some(nonce) if !law::agrees(nonce, at) => return Standing::Contradiction,
                _ => {}
            }
            if self.ahead.len() > self.most_ahead {
                // The feed stands still while others go on. What is forgotten could not be checked
                // any more: better to begin anew.
                return Standing::Contradiction;
            }
        }
        standing
    }

    /// Whether `at` was applied here, is ahead, or is of another history.
    pub fn standing(&self, at: Position) -> Standing {
        let Some(cursor) = self.cursor() else { return Standing::Unknown };
        if at.seq > cursor.seq {
            return Standing::Ahead;
        }
        let back = (cursor.seq - at.seq) as usize;
        match self.applied.len().checked_sub(1 + back).and_then(|index| self.applied.get(index)) {
            Some(applied) if law::is_same_position(*applied, at) => Standing::Applied,
            Some(_) => Standing::Contradiction,
            None => Standing::Forgotten,
        }
    }

    /// Sets the cursor where none is. False if what was brought before contradicts it.
    pub fn start(&mut self, at: Position) -> bool {
        let fits = self.ahead.get(&at.seq).is_none_or(|&nonce| law::agrees(nonce, at));
        self.ahead = self.ahead.split_off(&(at.seq + 1));
        self.applied.clear();
        self.applied.push_back(at);
        fits
    }

    /// Moves the cursor to the next position. False if somebody brought another nonce for it.
    pub fn advance(&mut self, at: Position) -> bool {
        if self.applied.len() == self.most_applied {
            self.applied.pop_front();
        }
        self.applied.push_back(at);
        self.ahead.remove(&at.seq).is_none_or(|nonce| law::agrees(nonce, at))
    }

    /// Forgets all: a new history begins.
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
    fn positions_stand_as_they_should() {
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
    fn a_start_that_contradicts_what_was_brought() {
        let mut history = History::new(9, 9);
        history.observe(at(5, 50));
        assert!(!history.start(at(5, 51)));
    }
}
