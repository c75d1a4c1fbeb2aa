//! The real service as the benchmarks start it.
#![allow(dead_code, reason = "not every benchmark uses all of it")]

use crate::servers::DbServer;
use aka_wire::pb;
use aka_wire::pb::alias_admin_client::AliasAdminClient;
use aka_wire::pb::resolver_client::ResolverClient;
use bytes::Bytes;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tonic::transport::Channel;

pub const PROJECT: u64 = 1;

/// Makes a database on each server, migrates them, and returns their names.
pub async fn databases(servers: &[&DbServer]) -> Vec<String> {
    let (mut names, mut flags) = (Vec::new(), Vec::new());
    for server in servers {
        let name = server.create_database().await;
        flags.extend(["--shard".to_owned(), server.url(&name)]);
        names.push(name);
    }
    let migrated = Command::new(env!("CARGO_BIN_EXE_aka")).arg("migrate").args(&flags).output();
    assert!(migrated.expect("aka migrate runs").status.success());
    names
}

/// A running `aka serve`. Dropping it kills it.
pub struct Instance {
    process: Child,
    address: String,
    metrics: String,
}

impl Instance {
    /// Over these shards, with default settings.
    pub fn start(urls: &[String]) -> Self {
        Self::start_with(urls, &[])
    }

    /// Over these shards, with these flags besides.
    pub fn start_with(urls: &[String], flags: &[&str]) -> Self {
        // Its own port for metrics is not told on stdout.
        let metrics = format!("127.0.0.1:{}", crate::servers::free_port());
        let mut process = Command::new(env!("CARGO_BIN_EXE_aka"))
            .args(["serve", "--listen", "127.0.0.1:0", "--metrics-listen", &metrics])
            .args(urls.iter().flat_map(|url| ["--shard", url]))
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("aka serve runs");
        let mut line = String::new();
        let stdout = process.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let address = line.trim().strip_prefix("aka: serving on ").expect("an address");
        Self { process, address: format!("http://{address}"), metrics }
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    pub async fn resolver(&self) -> ResolverClient<Channel> {
        ResolverClient::connect(self.address.clone()).await.expect("it serves")
    }

    pub async fn admin(&self) -> AliasAdminClient<Channel> {
        AliasAdminClient::connect(self.address.clone()).await.expect("it serves")
    }

    /// The sum of the series of a metric.
    pub fn metric(&self, name: &str) -> f64 {
        let mut stream = TcpStream::connect(&self.metrics).expect("the operations port is open");
        let request = "GET /metrics HTTP/1.1\r\nHost: aka\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).expect("the request can be sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("the answer can be read");
        let values = text.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let found = series.split('{').next() == Some(name);
            found.then(|| value.parse::<f64>().expect("a number"))
        });
        values.sum()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub fn resolve(id: &str) -> pb::ResolveRequest {
    pb::ResolveRequest {
        project_id: PROJECT,
        distinct_id: Bytes::copy_from_slice(id.as_bytes()),
        consistency_token: String::new(),
    }
}

pub fn create(alias: &str, canonical: &str) -> pb::CreateAliasRequest {
    pb::CreateAliasRequest {
        project_id: PROJECT,
        alias_id: Bytes::copy_from_slice(alias.as_bytes()),
        canonical_id: Bytes::copy_from_slice(canonical.as_bytes()),
        dry_run: false,
    }
}

/// The CPU time that a process has used.
pub fn cpu(pid: u32) -> Duration {
    aka_load::Process(pid).cpu_time().expect("the process runs")
}

/// The value below which so many percent of the sorted values are.
pub fn percentile(sorted: &[Duration], percent: f64) -> Duration {
    let index = (sorted.len() as f64 * percent / 100.0) as usize;
    sorted[index.min(sorted.len() - 1)]
}
