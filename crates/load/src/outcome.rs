//! The outcome of a run.

use crate::check::WrongAnswer;
use crate::plan::LoadPlan;
use crate::process::Process;
use crate::tally::{Tally, WindowTally};
use aka_wire::code_name;
use hdrhistogram::Histogram;
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
    /// The CPU time of the databases. `None` if no process is named, or one of them ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub databases: Option<CpuCost>,
    /// The CPU time of the generator. `None` if it could not be read.
    pub generator: Option<CpuCost>,
    /// The lookups by windows of the measured time. Empty if the plan asks for none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<WindowOutcome>,
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
    /// How often a call was begun again, because the server said that it had not taken it.
    pub repeated_calls: u64,
}

/// The lookups of one window.
#[derive(Debug, Serialize)]
pub struct WindowOutcome {
    /// When it began, in seconds of the measured time.
    pub from_seconds: f64,
    /// Ids that were answered in it, a second.
    pub ids_per_second: f64,
    /// Latencies of the calls that fell due in it and were answered, in microseconds.
    pub latency_us: Latencies,
    /// Ids of calls that fell due in it and failed.
    pub failed: u64,
    /// Calls of an open loop that had fallen due by its end, and had not ended.
    pub calls_behind: u64,
    /// The CPU time of the server for an id that was answered in it, in microseconds.
    pub server_cpu_us_per_id: Option<f64>,
    /// The same of the databases.
    pub databases_cpu_us_per_id: Option<f64>,
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

/// The CPU times that processes had used at some moment.
pub(crate) struct CpuSample {
    pub server: Option<Duration>,
    pub databases: Option<Duration>,
    pub generator: Option<Duration>,
}

/// The CPU time between two samples.
fn spent(before: Option<Duration>, after: Option<Duration>) -> Option<Duration> {
    Some(after?.saturating_sub(before?))
}

impl LoadOutcome {
    /// `processes`: the server, its databases, and the generator. `samples`: at the begin of each
    /// window, and at the end.
    pub(crate) fn new(
        plan: &LoadPlan,
        reads: Tally,
        writes: Option<Tally>,
        processes: &[Vec<Process>; 3],
        samples: &[CpuSample],
    ) -> Self {
        let share = |part: u64| part as f64 / reads.ids.max(1) as f64;
        let cost = |processes: &[Process], time: Duration| CpuCost {
            pids: processes.iter().map(|&Process(pid)| pid).collect(),
            cpu_seconds: time.as_secs_f64(),
            cpu_us_per_id: cpu_us_per_id(Some(time), reads.ids_in_time),
        };
        let whole = |of: fn(&CpuSample) -> Option<Duration>| {
            spent(samples.first().and_then(of), samples.last().and_then(of))
        };
        let [server, databases, generator] = processes;
        Self {
            aliases: share(reads.aliases),
            cold: share(reads.cold),
            degraded: reads.degraded,
            server: whole(|sample| sample.server).map(|time| cost(server, time)),
            databases: whole(|sample| sample.databases).map(|time| cost(databases, time)),
            generator: whole(|sample| sample.generator).map(|time| cost(generator, time)),
            windows: windows(plan, &reads, samples),
            reads: CallCounts::new(reads, plan.duration),
            writes: writes.map(|writes| CallCounts::new(writes, plan.duration)),
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

/// The CPU time for an id, in microseconds. `None` if it is not known, or no id was answered.
fn cpu_us_per_id(time: Option<Duration>, ids: u64) -> Option<f64> {
    time.filter(|_| ids > 0).map(|time| time.as_secs_f64() * 1e6 / ids as f64)
}

fn windows(plan: &LoadPlan, reads: &Tally, samples: &[CpuSample]) -> Vec<WindowOutcome> {
    let calls_due = |until: Duration| {
        let ids_per_call = f64::from(plan.mode.ids_per_call());
        plan.rate.map_or(0.0, |rate| (plan.warm_up + until).as_secs_f64() * rate / ids_per_call)
    };
    let mut ended = reads.ended_before;
    let tallies = reads.windows.iter().zip(samples.windows(2));
    let outcome = |(tally, cpu): (&WindowTally, &[CpuSample])| {
        let WindowTally { window, answered_ids, .. } = *tally;
        ended += tally.ended_calls;
        WindowOutcome {
            from_seconds: window.begin.as_secs_f64(),
            ids_per_second: answered_ids as f64 / (window.end - window.begin).as_secs_f64(),
            latency_us: Latencies::of(&tally.latencies),
            failed: tally.failed,
            calls_behind: (calls_due(window.end) as u64).saturating_sub(ended),
            server_cpu_us_per_id: cpu_us_per_id(spent(cpu[0].server, cpu[1].server), answered_ids),
            databases_cpu_us_per_id: cpu_us_per_id(
                spent(cpu[0].databases, cpu[1].databases),
                answered_ids,
            ),
        }
    };
    tallies.map(outcome).collect()
}

impl Latencies {
    fn of(latencies: &Histogram<u64>) -> Self {
        let us = |quantile| latencies.value_at_quantile(quantile) as f64 / 1e3;
        Self {
            mean: latencies.mean() / 1e3,
            p50: us(0.5),
            p90: us(0.9),
            p99: us(0.99),
            p999: us(0.999),
            max: latencies.max() as f64 / 1e3,
        }
    }
}

impl CallCounts {
    fn new(tally: Tally, measured: Duration) -> Self {
        let seconds = measured.as_secs_f64();
        let latency_us = Latencies::of(&tally.latencies);
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
            repeated_calls: tally.repeated,
        }
    }
}
