//! What an endpoint's text means, and how its addresses are connected to.

use crate::error::ConnectError;
use crate::options::ClientOptions;
use http::Uri;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

const LOOK_UP: Duration = Duration::from_secs(5);
/// A server that does not answer pings while calls wait has gone without a word.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// A server, or all servers that have a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    https: bool,
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
}

impl Target {
    pub fn parse(text: &str) -> Result<Self, ConnectError> {
        let wrong = |why: &str| {
            ConnectError(format!("{text:?} is no endpoint: {why}; try http://HOST:PORT"))
        };
        let (https, authority) = match text.split_once("://") {
            None => (false, text),
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some(_) => return Err(wrong("it is neither http nor https")),
        };
        let authority = authority.trim_end_matches('/');
        let parsed: http::uri::Authority =
            authority.parse().map_err(|_| wrong("its host cannot be read"))?;
        if parsed.as_str().contains('@') {
            return Err(wrong("it has a user"));
        }
        let usual = match (text.contains("://"), https) {
            (false, _) => 50_051,
            (true, true) => 443,
            (true, false) => 80,
        };
        let port = match parsed.as_str().len() == parsed.host().len() {
            true => usual,
            false => parsed
                .port_u16()
                .filter(|&port| port > 0)
                .ok_or_else(|| wrong("the port must be 1 to 65535"))?,
        };
        let host = parsed.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(wrong("it has no host"));
        }
        Ok(Self { https, host, port })
    }

    /// Whether its addresses may change.
    pub fn is_name(&self) -> bool {
        self.host.parse::<IpAddr>().is_err()
    }

    pub async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let found = tokio::net::lookup_host((&*self.host, self.port));
        let found = tokio::time::timeout(LOOK_UP, found).await.map_err(io::Error::from)??;
        let mut addresses: Vec<SocketAddr> = found.collect();
        addresses.sort_unstable();
        addresses.dedup();
        Ok(addresses)
    }
}

/// How connections are opened.
pub(crate) struct Dial {
    tls: Option<ClientTlsConfig>,
    pub connect_timeout: Duration,
    user_agent: String,
}

impl Dial {
    pub fn new(options: &ClientOptions, targets: &[Target]) -> Result<Self, ConnectError> {
        let is_https = targets.iter().any(|target| target.https);
        if !is_https && (options.ca.is_some() || options.cert.is_some()) {
            // Whoever names them wants TLS, so a call without it would be a mistake.
            let text = "ca, cert and key need an endpoint that is named by https".to_owned();
            return Err(ConnectError(text));
        }
        let tls = if is_https { Some(tls(options)?) } else { None };
        let (connect_timeout, user_agent) = (options.connect_timeout, options.user_agent.clone());
        Ok(Self { tls, connect_timeout, user_agent })
    }

    /// A channel to one address. It connects at its first call, and again when it must.
    pub fn channel(&self, target: &Target, address: SocketAddr) -> Result<Channel, ConnectError> {
        let wrong = |error: tonic::transport::Error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            ConnectError(format!("{}: {}", target.host, cause.unwrap_or_else(|| error.to_string())))
        };
        let scheme = if target.https { "https" } else { "http" };
        let host = match target.host.contains(':') {
            true => format!("[{}]", target.host),
            false => target.host.clone(),
        };
        let origin: Uri = format!("{scheme}://{host}:{}", target.port)
            .parse()
            .map_err(|_| ConnectError(format!("{host:?} is no name of a server")))?;
        let mut endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))
            .and_then(|endpoint| endpoint.user_agent(&*self.user_agent))
            .map_err(wrong)?
            .origin(origin)
            .connect_timeout(self.connect_timeout)
            .http2_keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT);
        if let Some(tls) = self.tls.as_ref().filter(|_| target.https) {
            let tls = tls.clone().domain_name(&*target.host);
            endpoint = endpoint.tls_config(tls).map_err(wrong)?;
        }
        Ok(endpoint.connect_lazy())
    }
}

fn tls(options: &ClientOptions) -> Result<ClientTlsConfig, ConnectError> {
    let read = |path: &Path| {
        std::fs::read(path)
            .map_err(|error| ConnectError(format!("{} cannot be read: {error}", path.display())))
    };
    let mut tls = match &options.ca {
        Some(path) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(path)?)),
        None => ClientTlsConfig::new().with_native_roots(),
    };
    if let (Some(cert), Some(key)) = (&options.cert, &options.key) {
        tls = tls.identity(Identity::from_pem(read(cert)?, read(key)?));
    }
    Ok(tls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read() {
        for (text, https, host, port) in [
            ("http://a:7", false, "a", 7),
            ("https://a/", true, "a", 443),
            ("http://a", false, "a", 80),
            ("a", false, "a", 50_051),
            ("127.0.0.1:8", false, "127.0.0.1", 8),
            ("[::1]:9", false, "::1", 9),
        ] {
            let target = Target::parse(text).expect("an endpoint");
            assert_eq!(target, Target { https, host: host.to_owned(), port }, "{text}");
        }
        for text in ["", "ftp://a", "http://", "a:0", "a:x", "u@a:1", "a b", "http://a:1/x"] {
            assert!(Target::parse(text).is_err(), "{text:?}");
        }
    }
}
