//! Logs that connections cannot be accepted, but not each time.

use std::io::Error;
use std::time::{Duration, Instant};

/// The pause between two lines. Without one, a process that has no descriptor left would write many
/// lines a second.
const PAUSE: Duration = Duration::from_secs(10);

/// The errors of one socket that listens.
pub struct AcceptErrors {
    socket: &'static str,
    said: Option<Instant>,
    since: u64,
}

impl AcceptErrors {
    /// `socket` says which one it is.
    pub fn new(socket: &'static str) -> Self {
        Self { socket, said: None, since: 0 }
    }

    /// Notes an error, and logs it if none was logged a moment ago.
    pub fn note(&mut self, error: &Error) {
        if let Some(errors) = self.count(Instant::now()) {
            // Most likely the process has no file descriptor left.
            tracing::warn!(socket = self.socket, errors, %error, "cannot accept a connection");
        }
    }

    /// The number of errors since the last line, if it is time for another line.
    fn count(&mut self, now: Instant) -> Option<u64> {
        self.since += 1;
        if self.said.is_some_and(|said| now.duration_since(said) < PAUSE) {
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_tells_of_many_errors() {
        let (mut errors, start) = (AcceptErrors::new("gRPC"), Instant::now());
        assert_eq!(errors.count(start), Some(1));
        for tenth in 1..100 {
            assert_eq!(errors.count(start + Duration::from_millis(100) * tenth), None);
        }
        assert_eq!(errors.count(start + PAUSE), Some(100));
    }
}
