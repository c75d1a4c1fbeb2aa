//! The limits of each method: the size of its messages, and the deadline of its calls.

use aka_core::clock::Boottime;
use aka_wire::{MAX_MESSAGE, Method};
use http::HeaderMap;
use std::time::Duration;

/// The most bytes of a `ResolveRequest`, which holds one id and a token.
const MAX_RESOLVE: usize = 64 << 10;

/// How long before the client's deadline the server answers: the answer needs time to travel back.
const WAY_BACK: Duration = Duration::from_millis(5);

/// The limits of one call of a method.
pub struct MethodLimits {
    /// The most bytes of a message of the client.
    pub longest_message: usize,
    /// Whether all of its calls cost so much that a late server refuses them.
    pub is_dear: bool,
    deadline: DeadlineKind,
}

/// How the deadline of a call is found.
enum DeadlineKind {
    /// The client's timeout, but at most the server's own limit.
    Call,
    /// The client's timeout for the whole stream. Each message has the server's limit.
    Stream,
    /// No deadline, because the answer is always in memory.
    Never,
}

impl MethodLimits {
    /// The limits of a method. This is the only place that sets them.
    pub fn of(method: Method) -> Self {
        let (longest_message, deadline) = match method {
            Method::Resolve => (MAX_RESOLVE, DeadlineKind::Call),
            Method::StreamResolve => (MAX_MESSAGE, DeadlineKind::Stream),
            Method::BatchResolve
            | Method::CreateAlias
            | Method::BatchCreateAliases
            | Method::GetAlias
            | Method::UpdateAlias
            | Method::DeleteAlias
            | Method::ListAliases => (MAX_MESSAGE, DeadlineKind::Call),
            Method::HealthCheck => (MAX_MESSAGE, DeadlineKind::Never),
        };
        let is_dear = match method {
            Method::CreateAlias
            | Method::BatchCreateAliases
            | Method::UpdateAlias
            | Method::DeleteAlias => true,
            // It turns out later whether a lookup is dear.
            Method::Resolve | Method::BatchResolve | Method::StreamResolve => false,
            // Admins look at a server that is late.
            Method::GetAlias | Method::ListAliases | Method::HealthCheck => false,
        };
        Self { longest_message, is_dear, deadline }
    }

    /// The deadline of a call that arrived then with these headers. `server_limit` is how long the
    /// server works on any one request.
    pub fn deadline(
        &self,
        headers: &HeaderMap,
        server_limit: Duration,
        arrived: Boottime,
    ) -> Boottime {
        match self.deadline {
            DeadlineKind::Call => {
                let timeout = client_timeout(headers).unwrap_or(server_limit).min(server_limit);
                arrived.plus(timeout - (timeout / 10).min(WAY_BACK))
            }
            DeadlineKind::Stream => match client_timeout(headers) {
                Some(timeout) => arrived.plus(timeout),
                None => Boottime::MAX,
            },
            DeadlineKind::Never => Boottime::MAX,
        }
    }
}

/// The `grpc-timeout` header: at most eight digits and a unit. A header that cannot be read is
/// ignored.
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
