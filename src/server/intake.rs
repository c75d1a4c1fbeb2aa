//! What one connection takes in: how much its client may send ahead, and whether it sends too much
//! that is no call.

use super::watched_reader::Signs;
use crate::rpc::HeldWindow;

/// The window of a connection at first. No client can be given less (RFC 9113, section 6.9.2).
pub(super) const FIRST_WINDOW: u32 = 65_535;
/// The widest window: a client ten milliseconds away can send 100 MB/s with it.
const WIDEST: u32 = 1 << 20;

/// The intake of one connection.
pub(super) struct Intake<'a> {
    signs: &'a Signs,
    held: HeldWindow,
    window: u32,
    /// How much had been received when the window was last changed.
    seen: u64,
}

impl<'a> Intake<'a> {
    /// The intake of a new connection. Room for a wider window comes out of `held`.
    pub fn new(signs: &'a Signs, held: HeldWindow) -> Self {
        Self { signs, held, window: FIRST_WINDOW, seen: 0 }
    }

    /// Whether the client sends too many frames that are no calls.
    pub fn is_flooding(&self) -> bool {
        self.signs.is_flooding()
    }

    /// The new window, if the client has used half of the one that it has and there is room for a
    /// wider one. A client that sends little never has more than it had at first.
    pub fn wider_window(&mut self) -> Option<u32> {
        let received = self.signs.received();
        if self.window == WIDEST || received - self.seen < u64::from(self.window / 2) {
            return None;
        }
        self.seen = received;
        let wider = (4 * (self.window + 1)).min(WIDEST);
        self.held.hold(wider - FIRST_WINDOW).then(|| {
            self.window = wider;
            wider
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::RequestMemory;
    use metrics::{Counter, Gauge};
    use std::sync::Arc;

    #[test]
    fn the_window_grows_as_it_is_used_while_there_is_room() {
        let memory = RequestMemory::new(16 << 20, Gauge::noop(), Counter::noop());
        let memory = Arc::new(memory);
        let grown = || {
            let signs = Signs::default();
            let mut intake = Intake::new(&signs, memory.of_connection().window());
            assert_eq!(intake.wider_window(), None, "nothing was sent");
            let mut windows = Vec::new();
            for received in (0..4 << 20).step_by(10_000) {
                signs.note_received(received);
                windows.extend(intake.wider_window());
            }
            (windows, intake.held)
        };
        let wide = vec![1 << 18, WIDEST];
        // Four MiB are for windows.
        let mut held: Vec<_> = (0..4)
            .map(|_| {
                let (windows, held) = grown();
                assert_eq!(windows, wide);
                held
            })
            .collect();
        assert!(grown().0.len() < 2, "there is no room");
        held.pop();
        assert_eq!(grown().0, wide);
    }
}
