//! One server of a shard, by the name and port that it is reached at.

use std::fmt;

/// The address of a server. A shard may be a group of several.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Server {
    /// A name, an IP address without brackets, or the path of a file.
    pub host: String,
    /// `None`: there is no port, because the address is a path.
    pub port: Option<u16>,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) if self.host.contains(':') => write!(f, "[{}]:{port}", self.host),
            Some(port) => write!(f, "{}:{port}", self.host),
            None => f.write_str(&self.host),
        }
    }
}

/// The role of a server, as it says itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerRole {
    /// It takes writes.
    Primary,
    /// It takes none.
    Replica,
    /// It does not answer.
    Unreachable,
}
