//! Until when a call is worth an answer: the client's `grpc-timeout`, within the server's own limit.

use crate::resolve::Deadline;
use aka_core::clock::Boottime;
use http::HeaderMap;
use std::time::Duration;

/// What the answer needs to get back to the client, at the most.
const WAY_BACK: Duration = Duration::from_millis(5);

/// When a client stops waiting for a stream, if it has said so.
pub fn stream_end(headers: &HeaderMap) -> Option<Boottime> {
    client_timeout(headers).map(|timeout| Boottime::now().plus(timeout))
}

/// The deadline of a call that arrives now. `limit`: how long the server works on any call.
pub fn deadline(headers: &HeaderMap, limit: Duration) -> Deadline {
    let arrived = Boottime::now();
    let timeout = client_timeout(headers).unwrap_or(limit).min(limit);
    let until = arrived.plus(timeout - (timeout / 10).min(WAY_BACK));
    Deadline { arrived, until }
}

/// The `grpc-timeout` header: at most eight digits and a unit. One that cannot be read is no limit.
fn client_timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_the_protocol_writes_them() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().expect("ascii"));
            client_timeout(&headers)
        };
        assert_eq!(read("2S"), Some(Duration::from_secs(2)));
        assert_eq!(read("150m"), Some(Duration::from_millis(150)));
        assert_eq!(read("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        for bad in ["", "S", "1", "1x", "-1S", "123456789S"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
