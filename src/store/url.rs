//! A shard's address in the configuration: `mysql://user:password@host:3306/database`.

use super::Server;
use std::{fmt, str::FromStr};
use url::Url;

/// The parameters that a shard's URL may have. Another one is an error, because it may be a typing
/// error.
const PARAMETERS: [&str; 5] = ["ssl-mode", "ssl-ca", "ssl-cert", "ssl-key", "socket"];

/// The port of MySQL, where a URL names none.
const PORT: u16 = 3306;

/// A checked shard URL. It names one server or several, with commas between them. Its `Display` and
/// `Debug` never show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct ShardUrl {
    /// The URL with the first server alone.
    first: Url,
    servers: Vec<Server>,
}

/// Why a text is no shard URL. It never quotes the text, which may hold a password.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShardUrlFault {
    #[error("a shard URL is written mysql://user@host:3306/database: {0}")]
    Unreadable(url::ParseError),
    #[error("a shard URL begins with mysql://, not with {0}://")]
    Scheme(String),
    #[error("the shard URL {0} names no database: write mysql://user@host:3306/database")]
    NoDatabase(String),
    #[error("the shard URL {0} has an unknown parameter {1:?}; known are {known}", known = PARAMETERS.join(", "))]
    Parameter(String, String),
    #[error("the shard URL {0} names several servers and a socket: name one of the two")]
    Socket(String),
    #[error("a shard URL has an empty item in its list of servers: name each server")]
    EmptyServer,
    #[error("the shard URL {0} names the server {1} twice")]
    Twice(String, Server),
    #[error(
        "the ssl-mode of the shard URL {0} is none of disabled, preferred, required, verify_ca, verify_identity"
    )]
    SslMode(String),
}

impl ShardUrl {
    pub fn has_password(&self) -> bool {
        self.first.password().is_some()
    }

    /// The servers that are named. At least one.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// Whether a server must show a certificate that is trusted.
    pub fn verifies_servers(&self) -> bool {
        self.first.query_pairs().any(|(name, value)| {
            name == "ssl-mode" && value.to_ascii_lowercase().starts_with("verify_")
        })
    }

    /// The URL without password and parameters. Unchecked parameters may hold a password.
    fn bare(&self) -> String {
        let mut shown = self.clone();
        shown.first.set_query(None);
        shown.to_string()
    }

    /// The URL of the first server with its password, for the driver alone.
    pub(super) fn expose(&self) -> &Url {
        &self.first
    }

    fn check(self) -> Result<Self, ShardUrlFault> {
        match self.first.scheme() {
            "mysql" | "mariadb" => {}
            other => return Err(ShardUrlFault::Scheme(other.to_owned())),
        }
        if self.first.path().trim_matches('/').is_empty() {
            return Err(ShardUrlFault::NoDatabase(self.bare()));
        }
        for (name, value) in self.first.query_pairs() {
            if !PARAMETERS.contains(&name.as_ref()) {
                return Err(ShardUrlFault::Parameter(self.bare(), name.into_owned()));
            }
            if name == "ssl-mode" && value.parse::<sqlx::mysql::MySqlSslMode>().is_err() {
                return Err(ShardUrlFault::SslMode(self.bare()));
            }
            if name == "socket" && self.servers.len() > 1 {
                return Err(ShardUrlFault::Socket(self.bare()));
            }
        }
        let mut seen = self.servers.iter().enumerate();
        match seen.find(|(n, server)| self.servers[..*n].contains(server)) {
            Some((_, server)) => Err(ShardUrlFault::Twice(self.bare(), server.clone())),
            None => Ok(self),
        }
    }
}

impl FromStr for ShardUrl {
    type Err = ShardUrlFault;

    fn from_str(text: &str) -> Result<Self, ShardUrlFault> {
        let (first, others) = split_servers(text);
        let read = |text: &str| Url::parse(text).map_err(ShardUrlFault::Unreadable);
        let first = read(&first)?;
        let mut servers = vec![server_of(&first)];
        for other in others {
            if other.is_empty() || first.host_str().is_none_or(str::is_empty) {
                return Err(ShardUrlFault::EmptyServer);
            }
            servers.push(server_of(&read(&format!("mysql://{other}/"))?));
        }
        Self { first, servers }.check()
    }
}

/// The text with the first server alone, and the other servers.
fn split_servers(text: &str) -> (String, Vec<&str>) {
    let Some(authority) = text.find("://").map(|at| at + 3) else {
        return (text.to_owned(), Vec::new());
    };
    let end = text[authority..].find(['/', '?']).map_or(text.len(), |length| authority + length);
    // A name of a user or a password may hold commas too.
    let hosts = text[authority..end].rfind('@').map_or(authority, |at| authority + at + 1);
    let mut servers = text[hosts..end].split(',');
    let first = servers.next().unwrap_or_default();
    (format!("{}{first}{}", &text[..hosts], &text[end..]), servers.collect())
}

fn server_of(url: &Url) -> Server {
    let host = url.host_str().unwrap_or("localhost").trim_matches(['[', ']']).to_owned();
    Server { host, port: Some(url.port().unwrap_or(PORT)) }
}

impl fmt::Display for ShardUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.first.clone();
        if shown.password().is_some() {
            // This fails only for URLs without a host, which have no password.
            let _ = shown.set_password(Some("***"));
        }
        let shown = shown.as_str();
        let hosts_end = shown.find("://").map_or(0, |at| at + 3);
        let hosts_end = shown[hosts_end..].find('/').map_or(shown.len(), |at| hosts_end + at);
        f.write_str(&shown[..hosts_end])?;
        self.servers[1..].iter().try_for_each(|server| write!(f, ",{server}"))?;
        f.write_str(&shown[hosts_end..])
    }
}

impl fmt::Debug for ShardUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShardUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let url: ShardUrl =
            "mysql://aka:s3cret@db:3306/aka?ssl-mode=required".parse().expect("url");
        for shown in [url.to_string(), format!("{url:?}")] {
            assert!(!shown.contains("s3cret") && shown.contains("***"), "{shown}");
        }
        for bad in [
            "mysql://aka:s3cret@db",
            "mysql://a:s3cret@db/x?ssl-mod=1",
            "mysql://a@db/x?password=s3cret",
            "http://a:s3cret@x/y",
        ] {
            let fault = bad.parse::<ShardUrl>().expect_err(bad).to_string();
            assert!(!fault.contains("s3cret"), "{fault}");
        }
    }

    #[test]
    fn a_url_may_name_several_servers() {
        let url: ShardUrl = "mysql://a,b:s3,cret@db0a,db0b:3307,[::1]:3308/aka?ssl-mode=required"
            .parse()
            .expect("url");
        let servers: Vec<_> = url.servers().iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["db0a:3306", "db0b:3307", "[::1]:3308"]);
        let shown = url.to_string();
        assert!(shown.contains("@db0a,db0b:3307,[::1]:3308/aka"), "{shown}");
        assert!(!shown.contains("s3"), "{shown}");
        let single: ShardUrl = "mysql://db/aka".parse().expect("url");
        assert_eq!(single.to_string(), "mysql://db/aka");
        for bad in [
            "mysql://db,db:3306/aka",
            "mysql://db,/aka",
            "mysql://a,b/aka?socket=/tmp/x",
            "mysql://a,b c/aka",
        ] {
            bad.parse::<ShardUrl>().expect_err(bad);
        }
    }
}
