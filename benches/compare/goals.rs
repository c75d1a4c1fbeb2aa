//! The goals for aka's cost, relative to the servers that it is compared with.

use crate::sample::{Results, Sample};
use aka_test_support::median;
use std::fmt::Write;

struct Goal {
    what: &'static str,
    ours: &'static str,
    /// The measurements that it is compared with. The best one counts.
    theirs: &'static [&'static str],
    bound: Bound,
}

enum Bound {
    /// CPU time for an id.
    CpuAtMost(f64),
    /// Ids a second.
    RateAtLeast(f64),
}

const GOALS: [Goal; 10] = [
    Goal {
        what: "CPU, unary 8x50, beside the best echo",
        ours: "aka, unary 8x50",
        theirs: &["echo shared, unary 8x50", "echo split, unary 8x50"],
        bound: Bound::CpuAtMost(1.25),
    },
    Goal {
        what: "CPU, unary 50x1, beside the best echo",
        ours: "aka, unary 50x1",
        theirs: &["echo shared, unary 50x1", "echo split, unary 50x1"],
        bound: Bound::CpuAtMost(1.1),
    },
    Goal {
        what: "CPU, batch of 100, 10 % aliases, beside Redis MGET",
        ours: "aka, batch of 100, 10 % aliases",
        theirs: &["Redis, MGET of 100, 10 %"],
        bound: Bound::CpuAtMost(0.75),
    },
    Goal {
        what: "CPU, batch of 100, 50 % aliases, beside Redis MGET",
        ours: "aka, batch of 100, 50 % aliases",
        theirs: &["Redis, MGET of 100, 50 %"],
        bound: Bound::CpuAtMost(1.0),
    },
    Goal {
        what: "CPU, stream of 100s, 50 % aliases, beside Redis MGET",
        ours: "aka, stream of 100s, 50 %",
        theirs: &["Redis, MGET of 100, 50 %"],
        bound: Bound::CpuAtMost(0.8),
    },
    Goal {
        what: "CPU with TLS, unary 8x50, beside without",
        ours: "aka over TLS, unary 8x50",
        theirs: &["aka, unary 8x50"],
        bound: Bound::CpuAtMost(1.35),
    },
    Goal {
        what: "CPU with TLS, batch of 100, 50 % aliases, beside without",
        ours: "aka over TLS, batch of 100, 50 %",
        theirs: &["aka, batch of 100, 50 % aliases"],
        bound: Bound::CpuAtMost(1.1),
    },
    Goal {
        what: "ids/s, cold ids in batches of 100, beside one SELECT each",
        ours: "aka and its MySQL, cold ids, batch of 100",
        theirs: &["MySQL, one SELECT each, cold ids"],
        bound: Bound::RateAtLeast(8.0),
    },
    Goal {
        what: "the same, without the filter",
        ours: "aka without its filter and its MySQL, cold ids, batch of 100",
        theirs: &["MySQL, one SELECT each, cold ids"],
        bound: Bound::RateAtLeast(8.0),
    },
    Goal {
        what: "the same, without the filter, unary 8x50",
        ours: "aka without its filter and its MySQL, cold ids, unary 8x50",
        theirs: &["MySQL, one SELECT each, cold ids"],
        bound: Bound::RateAtLeast(8.0),
    },
];

/// The goals as a Markdown table. A ratio is computed in each round, because both servers had the
/// same minute of the machine then. The table shows the median.
pub fn table(results: &Results) -> String {
    let mut table =
        String::from("| ratio | measured (least to greatest) | goal | met |\n|---|--:|--:|---|\n");
    for goal in &GOALS {
        let Some(ratios) = goal.ratios(results) else { continue };
        let (least, greatest) =
            ratios.iter().fold((f64::MAX, f64::MIN), |(a, b), r| (a.min(*r), b.max(*r)));
        let Some(ratio) = median(ratios) else { continue };
        let (bound, met) = match goal.bound {
            Bound::CpuAtMost(bound) => (format!("≤ {bound}"), ratio <= bound),
            Bound::RateAtLeast(bound) => (format!("≥ {bound}"), ratio >= bound),
        };
        let met = if met { "yes" } else { "no" };
        // Into a string, which takes everything.
        let _ = writeln!(
            table,
            "| {} | {ratio:.2} ({least:.2} to {greatest:.2}) | {bound} | {met} |",
            goal.what
        );
    }
    table
}

impl Goal {
    /// `None` if a measurement that it needs is missing.
    fn ratios(&self, results: &Results) -> Option<Vec<f64>> {
        let value = |sample: &Sample| match self.bound {
            Bound::CpuAtMost(_) => sample.cpu_us,
            Bound::RateAtLeast(_) => sample.ids_per_second,
        };
        let better = |a: f64, b: f64| match self.bound {
            Bound::CpuAtMost(_) => a.min(b),
            Bound::RateAtLeast(_) => a.max(b),
        };
        let ours = results.rounds(self.ours)?;
        let theirs: Option<Vec<_>> = self.theirs.iter().map(|name| results.rounds(name)).collect();
        let theirs = theirs?;
        let ratio = |(round, ours): (usize, &Sample)| {
            let theirs = theirs.iter().filter_map(|rounds| rounds.get(round)).map(value);
            Some(value(ours) / theirs.reduce(better)?)
        };
        ours.iter().enumerate().map(ratio).collect()
    }
}
