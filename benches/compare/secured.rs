//! The servers that show what TLS and principals cost.

use crate::Fault;
use crate::process::Server;
use crate::tls::Certificate;
use crate::world::{aka, serve};
use aka_load::LoadTls;
use http::HeaderValue;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Instances of aka over the same database as the others, and an echo.
pub struct Secured {
    pub certificate: Certificate,
    pub client: LoadTls,
    /// An aka with TLS.
    pub tls: Server,
    /// An echo with TLS, a thread for each processor. Half of the ids are aliases.
    pub echo: Server,
    /// An aka without TLS, for one principal.
    pub with_principals: Server,
    /// What that principal sends.
    pub token: HeaderValue,
}

impl Secured {
    pub fn start(folder: &Path, shard: &[String]) -> Result<Self, Fault> {
        let certificate = Certificate::new(folder)?;
        let [cert, key] = &certificate.files;
        let tls = serve(shard, &["--tls-cert", cert, "--tls-key", key])?;
        let mut echo = Command::new(std::env::current_exe()?);
        echo.args(["echo", "split", "2", cert, key]);
        let made = aka("auth", &["token".to_owned(), "load".to_owned()]).output()?;
        let made = String::from_utf8(made.stdout)?;
        let (token, stanza) = made.split_once('\n').ok_or("aka auth token printed no stanza")?;
        let principals = folder.join("auth.toml");
        fs::write(&principals, stanza)?;
        let principals = principals.display().to_string();
        Ok(Self {
            client: certificate.client()?,
            tls,
            echo: Server::that_says(echo)?,
            with_principals: serve(shard, &["--auth-file", &principals])?,
            token: format!("Bearer {}", token.trim()).parse()?,
            certificate,
        })
    }
}
