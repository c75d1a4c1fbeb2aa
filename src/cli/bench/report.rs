//! The report of a run, for people and for programs.

use super::args::BenchArgs;
use super::prepare::Prepared;
use aka_load::{CallCounts, CpuCost, Latencies, LoadOutcome, WindowOutcome};
use serde::Serialize;
use std::fmt;

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
    outcome: LoadOutcome,
}

impl BenchReport {
    pub fn new(args: &BenchArgs, prepared: Option<Prepared>, outcome: LoadOutcome) -> Self {
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
            outcome,
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
        let LoadOutcome { reads, aliases, cold, degraded, .. } = &self.outcome;
        let CallCounts { ids_per_second, calls_per_second, .. } = reads;
        writeln!(f, "rate       {ids_per_second:.0} ids/s in {calls_per_second:.0} calls/s")?;
        write_counts(f, reads)?;
        let (aliases, cold) = (100.0 * aliases, 100.0 * cold);
        writeln!(f, "ids        {aliases:.1} % aliases, {cold:.1} % never seen before")?;
        if *degraded > 0 {
            writeln!(f, "degraded   {degraded} ids: the last known state, perhaps old")?;
        }
        let LoadOutcome { server, databases, generator, .. } = &self.outcome;
        for (who, cpu) in [("server", server), ("databases", databases), ("generator", generator)] {
            if let Some(CpuCost { pids, cpu_us_per_id: Some(us), .. }) = cpu {
                let pids: Vec<_> = pids.iter().map(u32::to_string).collect();
                writeln!(f, "{who:<10} {us:.2} µs of CPU an id (process {})", pids.join(", "))?;
            }
        }
        write_windows(f, &self.outcome.windows)?;
        if let Some(writes) = &self.outcome.writes {
            writeln!(f, "creates    {:.0}/s", writes.calls_per_second)?;
            write_counts(f, writes)?;
        }
        Ok(())
    }
}

/// A line for each window.
fn write_windows(f: &mut fmt::Formatter<'_>, windows: &[WindowOutcome]) -> fmt::Result {
    if windows.is_empty() {
        return Ok(());
    }
    writeln!(
        f,
        "windows      from s      ids/s     p50 ms     p99 ms     max ms   failed   behind  µs server  µs databases"
    )?;
    for window in windows {
        let Latencies { p50, p99, max, .. } = window.latency_us;
        let [p50, p99, max] = [p50, p99, max].map(|us| us / 1e3);
        let cpu = |us: Option<f64>| us.map_or_else(|| "-".to_owned(), |us| format!("{us:.2}"));
        let (server, databases) =
            (cpu(window.server_cpu_us_per_id), cpu(window.databases_cpu_us_per_id));
        let WindowOutcome { from_seconds, ids_per_second, failed, calls_behind, .. } = window;
        writeln!(
            f,
            "{from_seconds:>18.1} {ids_per_second:>10.0} {p50:>10.3} {p99:>10.3} {max:>10.3} {failed:>8} {calls_behind:>8} {server:>10} {databases:>13}"
        )?;
    }
    Ok(())
}

/// Latencies, answers and errors.
fn write_counts(f: &mut fmt::Formatter<'_>, counts: &CallCounts) -> fmt::Result {
    let Latencies { p50, p90, p99, p999, max, .. } = counts.latency_us;
    write!(f, "{:<10}", "latency")?;
    for (name, us) in [("p50", p50), ("p90", p90), ("p99", p99), ("p99.9", p999), ("max", max)] {
        write!(f, " {name} {:.3}", us / 1e3)?;
    }
    writeln!(f, " ms")?;
    let CallCounts { ids, wrong, failed, .. } = counts;
    writeln!(f, "{:<10} {ids} ids, {wrong} wrong, {failed} failed", "answers")?;
    if let Some(first) = &counts.first_wrong {
        writeln!(f, "{:<10} {first}", "wrong")?;
    }
    for (code, count) in &counts.errors {
        writeln!(f, "{:<10} {count} {code}", "failed")?;
    }
    match counts.unsent_calls {
        0 => Ok(()),
        unsent => writeln!(f, "{:<10} {unsent} calls that were due: no room", "unsent"),
    }
}
