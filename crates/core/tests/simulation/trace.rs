//! The trace of a run: a hash of all its events. When one seed is replayed, the events are printed
//! too.

use crate::model::Micro;

pub struct Trace {
    hash: u64,
    print: bool,
    pub events: u64,
}

impl Trace {
    pub fn new(print: bool) -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, print, events: 0 }
    }

    /// Notes an event. The numbers say what it concerns.
    pub fn note(&mut self, now: Micro, what: &'static str, numbers: &[u64]) {
        self.events += 1;
        let first = what.as_bytes()[0] as u64 ^ ((what.len() as u64) << 8);
        for number in [now, first].iter().chain(numbers) {
            self.hash = (self.hash ^ number).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
        }
        if self.print {
            eprintln!("{now:>9} {what} {numbers:?}");
        }
    }

    pub fn hash(&self) -> u64 {
        self.hash
    }
}
