//! A shard's address in the configuration: `mysql://user:password@host:3306/database`.

use std::{fmt, str::FromStr};
use url::Url;

/// The parameters that a shard's URL may have. Another one is an error, because it may be a typing
/// error.
const PARAMETERS: [&str; 5] = ["ssl-mode", "ssl-ca", "ssl-cert", "ssl-key", "socket"];

/// A checked shard URL. Its `Display` and `Debug` never show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct ShardUrl(Url);

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
    #[error(
        "the ssl-mode of the shard URL {0} is none of disabled, preferred, required, verify_ca, verify_identity"
    )]
    SslMode(String),
}

impl ShardUrl {
    pub fn has_password(&self) -> bool {
        self.0.password().is_some()
    }

    /// The URL without password and parameters. Unchecked parameters may hold a password.
    fn bare(&self) -> String {
        let mut shown = self.0.clone();
        shown.set_query(None);
        Self(shown).to_string()
    }

    /// The whole URL with its password, for the driver alone.
    pub(super) fn expose(&self) -> &Url {
        &self.0
    }
}

impl FromStr for ShardUrl {
    type Err = ShardUrlFault;

    fn from_str(text: &str) -> Result<Self, ShardUrlFault> {
        let url = Self(Url::parse(text).map_err(ShardUrlFault::Unreadable)?);
        match url.0.scheme() {
            "mysql" | "mariadb" => {}
            other => return Err(ShardUrlFault::Scheme(other.to_owned())),
        }
        if url.0.path().trim_matches('/').is_empty() {
            return Err(ShardUrlFault::NoDatabase(url.bare()));
        }
        for (name, value) in url.0.query_pairs() {
            if !PARAMETERS.contains(&name.as_ref()) {
                return Err(ShardUrlFault::Parameter(url.bare(), name.into_owned()));
            }
            if name == "ssl-mode" && value.parse::<sqlx::mysql::MySqlSslMode>().is_err() {
                return Err(ShardUrlFault::SslMode(url.bare()));
            }
        }
        Ok(url)
    }
}

impl fmt::Display for ShardUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.clone();
        if shown.password().is_some() {
            // This fails only for URLs without a host, which have no password.
            let _ = shown.set_password(Some("***"));
        }
        f.write_str(shown.as_str())
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
}
