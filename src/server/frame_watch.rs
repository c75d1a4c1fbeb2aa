//! Counts the frames of a client that are no calls. They cost the server about as much as their
//! sender, or far more, and no limit of HTTP/2 is on them (CVE-2019-9512, -9513, -9515, -9518).
//!
//! Only the nine bytes before each frame are looked at (RFC 9113, section 4.1), once a frame.

use std::time::{Duration, Instant};

/// The bytes before the payload of a frame.
const HEAD: usize = 9;

/// Types of frames (RFC 9113, section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;

/// What frames that are no calls may come to at once, and in a second. A client that has nothing to
/// call for sends a PING every few seconds. This is a hundred times more than the most eager one
/// sends unasked, and the burst leaves room for windows that are opened, and calls that are
/// cancelled, for all streams at once.
const FRAMES: Allowance = Allowance { most: 10_000, each_second: 1_000 };

/// The same for SETTINGS, each of which makes h2 go through all open streams if it changes their
/// window. gRPC's C core changes it when its measure of the line does, ten times a second at most;
/// others send SETTINGS once.
const SETTINGS_FRAMES: Allowance = Allowance { most: 100, each_second: 20 };

/// Each call earns so many frames: its client may open the window of stream and connection for
/// each part of the answer, measure the line by a PING for each, and cancel the call.
const EARNED_BY_CALL: i64 = 8;
/// The same for a part of a request: a stream has no other way to earn.
const EARNED_BY_DATA: i64 = 4;
/// So many bytes sent to the client earn one frame. A frame of an answer has up to 16 KiB, for which
/// a client sends three frames at the most: the window of the stream, that of the connection, a
/// PING. Small frames are the answers of calls.
const SENT_EARNS: u64 = 1 << 10;

/// After so many frames that are no calls, the connections beside this one have their turn.
const TURN: u32 = 256;

struct Allowance {
    most: i64,
    each_second: i64,
}

/// What a client has left of an allowance.
struct Left {
    frames: i64,
    of: &'static Allowance,
}

impl Left {
    fn new(of: &'static Allowance) -> Self {
        Self { frames: of.most, of }
    }

    fn earn(&mut self, frames: i64) {
        self.frames = self.frames.saturating_add(frames).min(self.of.most);
    }

    fn earn_by_time(&mut self, time: Duration) {
        let earned = time.as_micros().saturating_mul(self.of.each_second as u128) / 1_000_000;
        self.earn(i64::try_from(earned).unwrap_or(i64::MAX));
    }
}

/// The frames of one client.
pub(super) struct FrameWatch {
    /// The part of a frame's head that has come, of a head that came in pieces.
    head: [u8; HEAD],
    got: usize,
    /// How many bytes of a payload are still to come.
    payload: usize,
    left: Left,
    left_settings: Left,
    /// When time was last taken into account, and the bytes that were sent by then. That is done
    /// only when nothing is left, so that frames need no clock.
    earned: Instant,
    sent: u64,
    /// The bytes of all DATA frames that have begun.
    data: u64,
    /// How many of the frames since the last turn were no calls.
    turn: u32,
}

impl FrameWatch {
    /// The watch of a new connection, whose first bytes, so many, are no frame.
    pub fn new(preface: usize) -> Self {
        Self {
            head: [0; HEAD],
            got: 0,
            payload: preface,
            left: Left::new(&FRAMES),
            left_settings: Left::new(&SETTINGS_FRAMES),
            earned: Instant::now(),
            sent: 0,
            data: 0,
            turn: 0,
        }
    }

    /// Looks at the next bytes of the client. Returns whether it may go on. `sent` tells how many
    /// bytes it has been sent so far.
    #[inline]
    pub fn see(&mut self, mut bytes: &[u8], sent: impl Fn() -> u64) -> bool {
        loop {
            let passed = self.payload.min(bytes.len());
            self.payload -= passed;
            bytes = &bytes[passed..];
            // Mostly a head lies in one piece.
            let head = match bytes.split_first_chunk::<HEAD>() {
                Some((head, rest)) if self.got == 0 => {
                    bytes = rest;
                    *head
                }
                _ => {
                    let taken = bytes.len().min(HEAD - self.got);
                    self.head[self.got..self.got + taken].copy_from_slice(&bytes[..taken]);
                    bytes = &bytes[taken..];
                    self.got += taken;
                    if self.got < HEAD {
                        return true;
                    }
                    self.got = 0;
                    self.head
                }
            };
            self.payload = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            self.count(head[3]);
            if (self.left.frames < 0 || self.left_settings.frames < 0) && !self.earns(sent()) {
                return false;
            }
        }
    }

    #[inline]
    fn count(&mut self, kind: u8) {
        match kind {
            HEADERS => self.left.earn(EARNED_BY_CALL),
            DATA if self.payload > 0 => {
                self.turn += 1;
                self.data += self.payload as u64;
                self.left.earn(EARNED_BY_DATA);
            }
            _ => {
                self.turn += 1;
                self.left.frames -= 1;
                self.left_settings.frames -= i64::from(kind == SETTINGS);
            }
        }
    }

    /// Adds what time and answers have earned. Returns whether something is left then.
    #[cold]
    fn earns(&mut self, sent: u64) -> bool {
        let now = Instant::now();
        let time = now - self.earned;
        self.left.earn_by_time(time);
        self.left.earn(i64::try_from((sent - self.sent) / SENT_EARNS).unwrap_or(i64::MAX));
        self.left_settings.earn_by_time(time);
        (self.earned, self.sent) = (now, sent);
        self.left.frames >= 0 && self.left_settings.frames >= 0
    }

    /// The bytes of all DATA frames that have begun.
    #[inline]
    pub fn data(&self) -> u64 {
        self.data
    }

    /// Whether the other connections should have their turn. If so, a new one begins.
    #[inline]
    pub fn turn_is_over(&mut self) -> bool {
        let over = self.turn >= TURN;
        if over {
            self.turn = 0;
        }
        over
    }

    /// The client has sent no more for now, so others have their turn anyway.
    #[inline]
    pub fn pause(&mut self) {
        self.turn = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: u8 = 6;

    fn frame(kind: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).expect("short").to_be_bytes();
        let head = [length[1], length[2], length[3], kind, 0, 0, 0, 0, 0];
        // Payloads that look like heads of frames.
        [&head[..], &vec![PING; payload]].concat()
    }

    fn nothing_sent() -> u64 {
        0
    }

    #[test]
    fn frames_are_found_wherever_the_reads_end() {
        let frames = [frame(HEADERS, 40), frame(DATA, 300), frame(PING, 8), frame(SETTINGS, 0)];
        let wire = [&[PING; 24][..], &frames.concat()].concat();
        for size in 1..wire.len() {
            let mut watch = FrameWatch::new(24);
            watch.left.frames = 100;
            for part in wire.chunks(size) {
                assert!(watch.see(part, nothing_sent));
            }
            assert_eq!(watch.left.frames, 100 + EARNED_BY_CALL + EARNED_BY_DATA - 2, "{size}");
            assert_eq!(watch.left_settings.frames, SETTINGS_FRAMES.most - 1);
        }
    }

    #[test]
    fn a_flood_is_found_and_answers_allow_for_more() {
        let pings = frame(PING, 8).repeat(1_000);
        let mut watch = FrameWatch::new(0);
        let first = (0..1_000).find(|_| !watch.see(&pings, nothing_sent)).expect("a flood");
        assert!(first >= 10, "{first}: the first ten thousand are allowed");
        let mut watch = FrameWatch::new(0);
        let mut sent = 0;
        for _ in 0..100 {
            sent += 1_001 * SENT_EARNS;
            assert!(watch.see(&pings, || sent));
        }
    }

    #[test]
    fn few_settings_are_a_flood() {
        let settings = frame(SETTINGS, 6).repeat(10);
        let mut watch = FrameWatch::new(0);
        assert!((0..10).all(|_| watch.see(&settings, nothing_sent)));
        assert!(!(0..1_000).all(|_| watch.see(&settings, nothing_sent)));
    }

    #[test]
    fn clients_that_send_much_for_each_call_may_do_so_for_ever() {
        let mut watch = FrameWatch::new(0);
        // Both windows, a measure of the line, and its cancellation, for each of two parts.
        let call = [frame(HEADERS, 20), frame(DATA, 50), frame(PING, 8).repeat(8)].concat();
        assert!((0..100_000).all(|_| watch.see(&call, nothing_sent)));
    }

    #[test]
    fn calls_do_not_end_a_turn_and_other_frames_do() {
        let mut watch = FrameWatch::new(0);
        watch.see(&frame(HEADERS, 20).repeat(1_000), nothing_sent);
        assert!(!watch.turn_is_over());
        watch.see(&frame(PING, 8).repeat(TURN as usize), nothing_sent);
        assert!(watch.turn_is_over() && !watch.turn_is_over());
        watch.see(&frame(DATA, 1).repeat(TURN as usize), nothing_sent);
        watch.pause();
        assert!(!watch.turn_is_over());
    }
}
