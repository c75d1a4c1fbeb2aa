//! What a run found out, for people and for programs.

use super::args::BenchArgs;
use super::cpu::Process;
use super::prepare::Prepared;
use super::run::Outcome;
use super::tally::Tally;
use crate::cli::server_error::code_name;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use tonic::Code;

#[derive(Serialize)]
pub(super) struct BenchReport {
    mode: &'static str,
    batch: u32,
    connections: u16,
    concurrency: u16,
    threads: u16,
    keys: u32,
    zipf: f64,
    asked_ids_per_second: Option<f64>,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    prepared: Option<Prepared>,
    #[serde(flatten)]
    reads: Counts,
    /// Shares of the ids.
    aliases: f64,
    cold: f64,
    degraded: u64,
    server: Option<Cpu>,
    generator: Option<Cpu>,
    #[serde(skip_serializing_if = "Option::is_none")]
    writes: Option<Counts>,
}

#[derive(Serialize)]
struct Counts {
    calls: u64,
    ids: u64,
    calls_per_second: f64,
    ids_per_second: f64,
    latency_us: Latencies,
    wrong: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_wrong: Option<String>,
    failed: u64,
    errors: BTreeMap<&'static str, u64>,
    unsent_calls: u64,
}

#[derive(Clone, Copy, Serialize)]
struct Latencies {
    mean: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

#[derive(Serialize)]
struct Cpu {
    pids: Vec<u32>,
    cpu_seconds: f64,
    cpu_us_per_id: Option<f64>,
}

impl BenchReport {
    pub fn new(args: &BenchArgs, prepared: Option<Prepared>, outcome: Outcome) -> Self {
        let Outcome { reads, writes, servers, server, generator } = outcome;
        let share = |part: u64| part as f64 / reads.ids.max(1) as f64;
        let cpu = |processes: &[Process], time: Duration| Cpu {
            pids: processes.iter().map(|&Process(pid)| pid).collect(),
            cpu_seconds: time.as_secs_f64(),
            cpu_us_per_id: (reads.in_time.1 > 0)
                .then(|| time.as_secs_f64() * 1e6 / reads.in_time.1 as f64),
        };
        Self {
            mode: args.mode.name(),
            batch: args.ids_per_call(),
            connections: args.connections,
            concurrency: args.concurrency,
            threads: args.threads,
            keys: args.keys,
            zipf: args.zipf,
            asked_ids_per_second: args.rate,
            seconds: args.duration.as_secs_f64(),
            prepared,
            aliases: share(reads.aliases),
            cold: share(reads.cold),
            degraded: reads.degraded,
            server: server.map(|time| cpu(&servers, time)),
            generator: generator.map(|time| cpu(&[Process::current()], time)),
            reads: Counts::new(reads, args.duration),
            writes: writes.map(|writes| Counts::new(writes, args.duration)),
        }
    }

    /// Ids that were answered wrongly or not at all.
    pub fn bad(&self) -> u64 {
        let bad = |counts: &Counts| counts.wrong + counts.failed;
        bad(&self.reads) + self.writes.as_ref().map_or(0, bad)
    }

    /// All ids that something became of.
    pub fn total(&self) -> u64 {
        let total = |counts: &Counts| counts.ids + counts.failed;
        (total(&self.reads) + self.writes.as_ref().map_or(0, total)).max(self.bad())
    }
}

impl Counts {
    fn new(tally: Tally, over: Duration) -> Self {
        let seconds = over.as_secs_f64();
        let us = |quantile| tally.latencies.value_at_quantile(quantile) as f64 / 1e3;
        let latency_us = Latencies {
            mean: tally.latencies.mean() / 1e3,
            p50: us(0.5),
            p90: us(0.9),
            p99: us(0.99),
            p999: us(0.999),
            max: tally.latencies.max() as f64 / 1e3,
        };
        let failed = tally.failed();
        Self {
            calls: tally.calls,
            ids: tally.ids,
            calls_per_second: tally.in_time.0 as f64 / seconds,
            ids_per_second: tally.in_time.1 as f64 / seconds,
            latency_us,
            wrong: tally.wrong,
            first_wrong: tally.example,
            failed,
            errors: tally
                .errors
                .iter()
                .map(|(code, n)| (code_name(Code::from(*code)), *n))
                .collect(),
            unsent_calls: tally.unsent,
        }
    }
}

impl fmt::Display for BenchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mode, batch, connections, concurrency, keys, zipf, seconds, .. } = self;
        if let Some(Prepared { created, unchanged }) = self.prepared {
            writeln!(f, "prepared   {created} aliases created, {unchanged} were there")?;
        }
        write!(f, "load       {mode}")?;
        if *batch > 1 || *mode != "unary" {
            write!(f, " of {batch}")?;
        }
        write!(f, ", {connections} connections x {concurrency}, {keys} keys")?;
        if *zipf > 0.0 {
            write!(f, " (Zipf {zipf})")?;
        }
        write!(f, ", {seconds} s, ")?;
        match self.asked_ids_per_second {
            Some(rate) => writeln!(f, "open loop at {rate} ids/s")?,
            None => writeln!(f, "closed loop")?,
        }
        let Counts { ids_per_second, calls_per_second, .. } = &self.reads;
        writeln!(f, "rate       {ids_per_second:.0} ids/s in {calls_per_second:.0} calls/s")?;
        self.reads.write_latencies(f, "latency")?;
        self.reads.write_answers(f, "answers")?;
        let (aliases, cold) = (100.0 * self.aliases, 100.0 * self.cold);
        writeln!(f, "ids        {aliases:.1} % aliases, {cold:.1} % never seen before")?;
        if self.degraded > 0 {
            writeln!(f, "degraded   {} ids: the last known state, perhaps old", self.degraded)?;
        }
        for (who, cpu) in [("server", &self.server), ("generator", &self.generator)] {
            if let Some(Cpu { pids, cpu_us_per_id: Some(us), .. }) = cpu {
                let pids: Vec<_> = pids.iter().map(u32::to_string).collect();
                writeln!(f, "{who:<10} {us:.2} µs of CPU an id (process {})", pids.join(", "))?;
            }
        }
        if let Some(writes) = &self.writes {
            writeln!(f, "creates    {:.0}/s", writes.calls_per_second)?;
            writes.write_latencies(f, "latency")?;
            writes.write_answers(f, "answers")?;
        }
        Ok(())
    }
}

impl Counts {
    fn write_latencies(&self, f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
        let Latencies { p50, p90, p99, p999, max, .. } = self.latency_us;
        write!(f, "{name:<10}")?;
        for (name, us) in [("p50", p50), ("p90", p90), ("p99", p99), ("p99.9", p999), ("max", max)]
        {
            write!(f, " {name} {:.3}", us / 1e3)?;
        }
        writeln!(f, " ms")
    }

    fn write_answers(&self, f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
        let Self { ids, wrong, failed, .. } = self;
        writeln!(f, "{name:<10} {ids} ids, {wrong} wrong, {failed} failed")?;
        if let Some(first) = &self.first_wrong {
            writeln!(f, "{:<10} {first}", "wrong")?;
        }
        for (code, count) in &self.errors {
            writeln!(f, "{:<10} {count} {code}", "failed")?;
        }
        match self.unsent_calls {
            0 => Ok(()),
            unsent => writeln!(f, "{:<10} {unsent} calls that were due: no room", "unsent"),
        }
    }
}
