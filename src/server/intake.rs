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
    /// How much had been received when this was last looked at.
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

    /// The new window, if the client uses the one that it has and there is room for a wider one. To
    /// be asked whenever the connection has read all there is.
    pub fn wider_window(&mut self) -> Option<u32> {
        let received = self.signs.received();
        let used = received - std::mem::replace(&mut self.seen, received);
        if used < u64::from(self.window / 2) || self.window == WIDEST {
            return None;
        }
        let wider = (4 * self.window).min(WIDEST);
        self.held.hold(wider - FIRST_WINDOW).then(|| {
            self.window = wider;
            wider
        })
    }
}
