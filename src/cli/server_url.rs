//! The address of a server, as a command names it.

use std::fmt;
use tonic::transport::Uri;

const DEFAULT_PORT: u16 = 50_051;
const DEFAULT_METRICS_PORT: u16 = 9_464;

/// An address that a client can connect to, checked when the command line is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl(String);

impl ServerUrl {
    /// Takes `http://host:port`, `https://host:port`, `host:port` and `host`. Without a scheme it is
    /// http.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::parse_with(text, DEFAULT_PORT)
    }

    /// The same for the port that serves metrics.
    pub fn parse_metrics(text: &str) -> Result<Self, String> {
        Self::parse_with(text, DEFAULT_METRICS_PORT)
    }

    fn parse_with(text: &str, port: u16) -> Result<Self, String> {
        let (url, default_port) = match text.contains("://") {
            true => (text.to_owned(), None),
            false => (format!("http://{text}"), Some(port)),
        };
        let uri: Uri = url.parse().map_err(|_| "not an http URL and not HOST:PORT".to_owned())?;
        let scheme = match uri.scheme_str() {
            Some(scheme @ ("http" | "https")) => scheme,
            _ => return Err("the scheme must be http or https".to_owned()),
        };
        let authority = uri.authority().ok_or("it names no host")?;
        if !matches!(uri.path(), "" | "/")
            || uri.query().is_some()
            || authority.as_str().contains('@')
        {
            return Err("it must be a host and a port, and nothing else".to_owned());
        }
        let host = authority.host();
        // `http` calls a port that is not a number a missing one.
        let has_port = authority.as_str() != host;
        match (authority.port_u16(), default_port) {
            (Some(0), _) | (None, _) if has_port => Err("the port must be 1 to 65535".to_owned()),
            (Some(port), _) | (None, Some(port)) => Ok(Self(format!("{scheme}://{host}:{port}"))),
            (None, None) => Ok(Self(format!("{scheme}://{host}"))),
        }
    }

    /// Whether the server speaks TLS.
    pub(super) fn is_https(&self) -> bool {
        self.0.starts_with("https:")
    }

    /// Host and port to connect to. The brackets of an IPv6 address belong to the URL alone.
    pub(super) fn host_and_port(&self) -> (&str, u16) {
        let (authority, usual) = (self.authority(), if self.is_https() { 443 } else { 80 });
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().unwrap_or(usual)),
            _ => (authority, usual),
        };
        (host.trim_start_matches('[').trim_end_matches(']'), port)
    }

    /// The host, and the port if it is named.
    pub(super) fn authority(&self) -> &str {
        self.0.split_once("://").map_or(&*self.0, |(_, authority)| authority)
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_url_or_a_host_with_a_port() {
        for (given, meant) in [
            ("http://127.0.0.1:50051", "http://127.0.0.1:50051"),
            ("http://aka.internal/", "http://aka.internal"),
            ("https://127.0.0.1:50051", "https://127.0.0.1:50051"),
            ("https://aka.internal", "https://aka.internal"),
            ("localhost:1", "http://localhost:1"),
            ("localhost", "http://localhost:50051"),
            ("[::1]", "http://[::1]:50051"),
            ("[::1]:7", "http://[::1]:7"),
        ] {
            assert_eq!(ServerUrl::parse(given).map(|url| url.to_string()), Ok(meant.to_owned()));
        }
    }

    #[test]
    fn a_url_is_taken_apart() {
        for (url, parts) in [
            ("http://127.0.0.1:50051", ("127.0.0.1", 50_051)),
            ("http://aka.internal", ("aka.internal", 80)),
            ("http://[::1]:7", ("::1", 7)),
            ("http://[::1]", ("::1", 80)),
            ("https://aka.internal", ("aka.internal", 443)),
            ("https://[::1]:7", ("::1", 7)),
        ] {
            assert_eq!(ServerUrl::parse(url).as_ref().map(ServerUrl::host_and_port), Ok(parts));
        }
    }

    #[test]
    fn what_cannot_be_connected_to_is_wrong_usage() {
        for wrong in [
            "",
            "https://",
            "https://x:0",
            "ftp://x",
            "http://",
            "x:99999",
            "x:0",
            "x:",
            "u@x:1",
            "x:1/path",
            "a b",
        ] {
            assert!(ServerUrl::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
