//! A real Prometheus that scrapes an `aka`, and promtool.

use super::{read, repository};
use aka_test_support::{eventually, free_port, kill_and_wait, spawn, tools};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use url::form_urlencoded;

/// A Prometheus with the configuration of `deploy/prometheus`. Dropping it kills it.
pub struct Prometheus {
    address: SocketAddr,
    process: Child,
    _folder: TempDir,
}

fn tool(name: &str) -> Command {
    let path = tools().join("bin").join(name);
    assert!(path.exists(), "{path:?} is missing: run `scripts/install-prometheus` once");
    Command::new(path)
}

/// Runs promtool in the folder `deploy/prometheus`.
pub async fn promtool(args: &[&str]) -> Output {
    let mut command = tool("promtool");
    command.args(args).current_dir(repository("deploy/prometheus"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let run = || spawn(command).and_then(Child::wait_with_output);
    tokio::task::spawn_blocking(run).await.expect("a thread").expect("promtool can be started")
}

impl Prometheus {
    /// Starts one that scrapes this address ten times a second.
    pub async fn scraping(target: SocketAddr) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let rules = repository("deploy/prometheus").display().to_string();
        let config = read("deploy/prometheus/prometheus.yml")
            .replace("aka:9464", &target.to_string())
            .replace(" 5s", " 100ms")
            .replace("- recording.yml", &format!("- {rules}/recording.yml"))
            .replace("- alerts.yml", &format!("- {rules}/alerts.yml"));
        assert!(config.contains(&target.to_string()), "the target is replaced: {config}");
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, config).expect("it can be written");
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut command = tool("prometheus");
        command
            .arg(argument("config.file", &file))
            .arg(argument("storage.tsdb.path", &folder.path().join("data")))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let process = spawn(command).expect("prometheus can be started");
        let prometheus = Self { address, process, _folder: folder };
        let ready = async || prometheus.get("/-/ready").await.filter(|text| text.contains("eady"));
        eventually("Prometheus is ready", ready).await;
        prometheus
    }

    /// What an expression is now: the list of its series.
    pub async fn query(&self, expression: &str) -> Vec<Value> {
        let query = form_urlencoded::Serializer::new(String::new());
        let query = { query }.append_pair("query", expression).finish();
        let answer = self.api(&format!("/api/v1/query?{query}")).await;
        answer["result"].as_array().cloned().unwrap_or_default()
    }

    /// All rules of the files that it has read.
    pub async fn rules(&self) -> Vec<Value> {
        let answer = self.api("/api/v1/rules").await;
        let groups = answer["groups"].as_array().expect("a list");
        let rules = |group: &Value| group["rules"].as_array().expect("a list").clone();
        groups.iter().flat_map(rules).collect()
    }

    async fn api(&self, path: &str) -> Value {
        let body = self.get(path).await.unwrap_or_else(|| panic!("{path} is not answered"));
        let answer: Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{body}"));
        assert_eq!(answer["status"], "success", "{path}: {answer}");
        answer["data"].clone()
    }

    /// The body of an answer. None if nobody listens yet.
    async fn get(&self, path: &str) -> Option<String> {
        let (address, path) = (self.address, path.to_owned());
        let get = move || {
            let mut stream = TcpStream::connect(address).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
            // With this version of HTTP the answer ends with the connection.
            write!(stream, "GET {path} HTTP/1.0\r\nHost: prometheus\r\n\r\n").ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
        };
        tokio::task::spawn_blocking(get).await.expect("a thread")
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        kill_and_wait(&mut self.process);
    }
}

fn argument(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}
