//! `aka bench` against aka and against the echo: the same load for both.

use crate::Fault;
use crate::sample::Sample;
use aka_test_support::aka_program;
use serde_json::Value;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Before every measurement. All was read once before; this is for connections and branches.
const WARM_UP: Duration = Duration::from_millis(500);

/// A load on a gRPC server.
#[derive(Clone)]
pub struct Load {
    pub address: SocketAddr,
    /// Whose CPU time counts.
    pub pids: Vec<u32>,
    /// Flags of `aka bench` besides.
    pub flags: Vec<String>,
}

/// What an open loop saw.
pub struct Open {
    pub sample: Sample,
    /// All that was due was answered, and in time.
    pub kept_up: bool,
}

impl Load {
    pub fn new(address: SocketAddr, pids: &[u32], flags: &str) -> Self {
        let flags = flags.split_ascii_whitespace().map(str::to_owned).collect();
        Self { address, pids: pids.to_vec(), flags }
    }

    pub fn closed(&self, duration: Duration) -> Result<Sample, Fault> {
        sample(&self.run(duration, &[])?)
    }

    pub fn open(&self, duration: Duration, rate: f64) -> Result<Open, Fault> {
        let report = self.run(duration, &["--rate".to_owned(), rate.to_string()])?;
        let sample = sample(&report)?;
        let kept_up =
            number(&report, "/unsent_calls")? == 0.0 && sample.ids_per_second > 0.97 * rate;
        Ok(Open { sample, kept_up })
    }

    /// Creates the aliases and reads all keys.
    pub fn prepare(&self) -> Result<(), Fault> {
        self.run(Duration::from_secs(1), &["--prepare".to_owned()]).map(drop)
    }

    /// Runs `aka bench`, which fails if one answer is wrong.
    fn run(&self, duration: Duration, more: &[String]) -> Result<Value, Fault> {
        let mut command = Command::new(aka_program());
        command.env_clear().args(["bench", "--output", "json", "--server"]);
        command.arg(self.address.to_string()).args(&self.flags).args(more);
        command.args(["--duration", &duration.as_secs_f64().to_string()]);
        command.args(["--warm-up", &WARM_UP.as_secs_f64().to_string()]);
        for pid in &self.pids {
            command.args(["--server-pid", &pid.to_string()]);
        }
        let output = command.stdin(Stdio::null()).output()?;
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            return Err(format!("aka bench ({}): {}", output.status, said.trim()).into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

fn sample(report: &Value) -> Result<Sample, Fault> {
    Ok(Sample {
        ids_per_second: number(report, "/ids_per_second")?,
        cpu_us: number(report, "/server/cpu_us_per_id")?,
        p50_us: number(report, "/latency_us/p50")?,
        p99_us: number(report, "/latency_us/p99")?,
    })
}

fn number(report: &Value, pointer: &str) -> Result<f64, Fault> {
    let number = report.pointer(pointer).and_then(Value::as_f64);
    number.ok_or_else(|| format!("no {pointer} in {report}").into())
}
