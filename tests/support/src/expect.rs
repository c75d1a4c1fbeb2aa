//! Expectations of tests: errors of the contract, and conditions that come true in time.

use std::time::{Duration, Instant};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// How long a test waits for a condition that must come true. It is long because machines are busy.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Checks that an error has this code, and an `ErrorInfo` of `aka` with this reason. Returns all of
/// its details.
#[track_caller]
pub fn assert_refused(status: &Status, code: Code, reason: &str) -> ErrorDetails {
    let details = status.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
    let seen = (status.code(), info.reason.as_str(), info.domain.as_str());
    assert_eq!(seen, (code, reason, "aka"), "{}", status.message());
    assert!(!status.message().is_empty(), "{reason} says nothing to people");
    details
}

/// Whether a call failed only because its connection had just been told to end, before the server
/// took it: it was not sent, or its stream is beyond the last one of GOAWAY (RFC 9113, section 6.8).
/// gRPC calls for a transparent retry then; tonic leaves it to the caller.
pub fn was_not_sent(status: &Status) -> bool {
    let canceled = status.code() == Code::Cancelled && status.message() == "operation was canceled";
    canceled || format!("{status:?}").contains(r#"GoAway(b"", NO_ERROR, Remote)"#)
}

/// Tries `attempt` until it returns a value, for [`PATIENCE`] at most. `what` is for the message of a
/// failure.
pub async fn eventually<T>(what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = attempt().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
