//! The outcome of a run.

use crate::check::WrongAnswer;
use crate::process::Process;
use crate::tally::Tally;
use aka_wire::code_name;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;
use tonic::Code;

/// The outcome of a run. The warm-up counts only for errors and wrong answers.
#[derive(Debug, Serialize)]
pub struct LoadOutcome {
    /// The lookups.
    #[serde(flatten)]
    pub reads: CallCounts,
    /// The share of aliases among the ids that were answered, 0 to 1.
    pub aliases: f64,
    /// The share of ids that were never seen before, 0 to 1.
    pub cold: f64,
    /// Ids that were answered with the last known state, because their database did not answer.
    pub degraded: u64,
    /// The CPU time of the server. `None` if its processes are not known, or one of them ended.
    pub server: Option<CpuCost>,
    /// The CPU time of the generator. `None` if it could not be read.
    pub generator: Option<CpuCost>,
    /// The creates. `None` if the plan asks for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writes: Option<CallCounts>,
}

/// The calls of one kind, by how they ended.
#[derive(Debug, Serialize)]
pub struct CallCounts {
    /// Calls that were answered.
    pub calls: u64,
    /// The ids of these calls.
    pub ids: u64,
    /// Answered calls a second.
    pub calls_per_second: f64,
    /// Answered ids a second.
    pub ids_per_second: f64,
    /// Latencies of the answered calls, in microseconds.
    pub latency_us: Latencies,
    /// Ids that were answered wrongly.
    pub wrong: u64,
    /// The first wrong answer, as an example.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_wrong: Option<WrongAnswer>,
    /// Ids that were not answered.
    pub failed: u64,
    /// The ids that were not answered, by the name of the gRPC code.
    pub errors: BTreeMap<&'static str, u64>,
    /// Calls of an open loop that were due, and never sent because no caller was free.
    pub unsent_calls: u64,
}

/// Times from when a call was due to its answer, in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latencies {
    /// The mean.
    pub mean: f64,
    /// Half of the calls took no longer.
    pub p50: f64,
    /// 90 % of the calls took no longer.
    pub p90: f64,
    /// 99 % of the calls took no longer.
    pub p99: f64,
    /// 99.9 % of the calls took no longer.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

/// The CPU time that some processes took together in the measured time.
#[derive(Debug, Serialize)]
pub struct CpuCost {
    /// The ids of the processes.
    pub pids: Vec<u32>,
    /// Their CPU time, in seconds.
    pub cpu_seconds: f64,
    /// Their CPU time for an id that was looked up, in microseconds. `None` if no id was answered.
    pub cpu_us_per_id: Option<f64>,
}

/// The CPU time that was taken in the measured time.
pub(crate) struct CpuTimes {
    pub server: Option<Duration>,
    pub generator: Option<Duration>,
}

impl LoadOutcome {
    pub(crate) fn new(
        measured: Duration,
        reads: Tally,
        writes: Option<Tally>,
        servers: &[Process],
        cpu: CpuTimes,
    ) -> Self {
        let share = |part: u64| part as f64 / reads.ids.max(1) as f64;
        let cost = |processes: &[Process], time: Duration| CpuCost {
            pids: processes.iter().map(|&Process(pid)| pid).collect(),
            cpu_seconds: time.as_secs_f64(),
            cpu_us_per_id: (reads.ids_in_time > 0)
                .then(|| time.as_secs_f64() * 1e6 / reads.ids_in_time as f64),
        };
        Self {
            aliases: share(reads.aliases),
            cold: share(reads.cold),
            degraded: reads.degraded,
            server: cpu.server.map(|time| cost(servers, time)),
            generator: cpu.generator.map(|time| cost(&[Process::current()], time)),
            reads: CallCounts::new(reads, measured),
            writes: writes.map(|writes| CallCounts::new(writes, measured)),
        }
    }

    fn kinds(&self) -> impl Iterator<Item = &CallCounts> {
        std::iter::once(&self.reads).chain(&self.writes)
    }

    /// Ids that were answered wrongly or not at all.
    pub fn bad(&self) -> u64 {
        self.kinds().map(|counts| counts.wrong + counts.failed).sum()
    }

    /// Ids that were answered or failed.
    pub fn total(&self) -> u64 {
        let total: u64 = self.kinds().map(|counts| counts.ids + counts.failed).sum();
        // Wrong answers of the warm-up are not among `ids`.
        total.max(self.bad())
    }
}

impl CallCounts {
    fn new(tally: Tally, measured: Duration) -> Self {
        let seconds = measured.as_secs_f64();
        let us = |quantile| tally.latencies.value_at_quantile(quantile) as f64 / 1e3;
        let latency_us = Latencies {
            mean: tally.latencies.mean() / 1e3,
            p50: us(0.5),
            p90: us(0.9),
            p99: us(0.99),
            p999: us(0.999),
            max: tally.latencies.max() as f64 / 1e3,
        };
        let errors = tally.errors.iter().map(|(&code, &n)| (code_name(Code::from(code)), n));
        Self {
            calls: tally.calls,
            ids: tally.ids,
            calls_per_second: tally.calls_in_time as f64 / seconds,
            ids_per_second: tally.ids_in_time as f64 / seconds,
            latency_us,
            wrong: tally.wrong,
            failed: tally.errors.values().sum(),
            errors: errors.collect(),
            first_wrong: tally.first_wrong,
            unsent_calls: tally.unsent,
        }
    }
}
