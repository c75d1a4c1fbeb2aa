//! Measurements, and their medians.

use aka_test_support::median;
use std::fmt::Write;

/// One measurement of one round.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub ids_per_second: f64,
    /// CPU time of the servers for an id.
    pub cpu_us: f64,
    pub p50_us: f64,
    pub p99_us: f64,
}

/// All rounds of all measurements, in the order of the first round.
#[derive(Default)]
pub struct Results(Vec<(&'static str, Vec<Sample>)>);

impl Results {
    pub fn add(&mut self, name: &'static str, sample: Sample) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, samples)) => samples.push(sample),
            None => self.0.push((name, vec![sample])),
        }
    }

    pub fn rounds(&self, name: &str) -> Option<&[Sample]> {
        let (_, samples) = self.0.iter().find(|(known, _)| *known == name)?;
        Some(samples)
    }

    pub fn median(&self, name: &str, value: impl Fn(&Sample) -> f64) -> Option<f64> {
        median(self.rounds(name)?.iter().map(value).collect())
    }

    /// As Markdown.
    pub fn table(&self) -> String {
        let mut table = String::from(
            "| what | ids/s | server CPU, µs an id (least to greatest) | p50, ms | p99, ms |\n\
             |---|--:|--:|--:|--:|\n",
        );
        for (name, samples) in &self.0 {
            let of = |value: fn(&Sample) -> f64| {
                let mut values: Vec<f64> = samples.iter().map(value).collect();
                values.sort_by(f64::total_cmp);
                values
            };
            let middle = |value| median(of(value)).unwrap_or(f64::NAN);
            let cpu = of(|sample| sample.cpu_us);
            let range = match &cpu[..] {
                [least, .., greatest] => format!(" ({least:.2} to {greatest:.2})"),
                _ => String::new(),
            };
            // Into a string, which takes everything.
            let _ = writeln!(
                table,
                "| {name} | {} | {:.2}{range} | {:.2} | {:.2} |",
                grouped(middle(|sample| sample.ids_per_second)),
                middle(|sample| sample.cpu_us),
                middle(|sample| sample.p50_us) / 1e3,
                middle(|sample| sample.p99_us) / 1e3,
            );
        }
        table
    }
}

/// `1,234,567`.
pub fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
