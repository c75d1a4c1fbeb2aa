//! Where series are registered, and the macro that makes a group of them from its list.

use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder, Unit};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

/// Latency buckets in seconds: from a cache hit to the default time-out of a request. From 1 to 5 ms,
/// where the 99th percentile of lookups is watched, they are close together.
const SECONDS: [f64; 23] = [
    0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.001_5, 0.002, 0.002_5, 0.003, 0.004,
    0.005, 0.007_5, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// Buckets for counts of keys or jobs.
const COUNTS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

const METADATA: Metadata<'static> = Metadata::new("aka", Level::INFO, None);

/// The exporter.
pub(super) struct Registry {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl Registry {
    pub fn new() -> Self {
        let builder = PrometheusBuilder::new();
        // These fail only for an empty list of buckets.
        let builder = builder
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
            .and_then(|b| b.set_buckets_for_metric(Matcher::Suffix("_keys".to_owned()), &COUNTS))
            .and_then(|b| b.set_buckets_for_metric(Matcher::Suffix("_jobs".to_owned()), &COUNTS))
            .unwrap_or_else(|_| PrometheusBuilder::new());
        let recorder = builder.build_recorder();
        Self { handle: recorder.handle(), recorder }
    }

    pub fn render(&self) -> String {
        self.handle.render()
    }

    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

/// One metric: what a line of a group says, with the labels of the group.
pub(super) struct Metric<'a> {
    pub registry: &'a Registry,
    pub name: &'static str,
    pub help: &'static str,
    pub labels: Vec<(&'static str, &'a str)>,
}

impl<'a> Metric<'a> {
    /// The same metric with one more label.
    pub fn labelled(&self, label: &'static str, value: &'a str) -> Self {
        let labels = [&self.labels[..], &[(label, value)]].concat();
        Self { labels, ..*self }
    }

    fn key(&self) -> Key {
        let labels = self.labels.iter().map(|&(label, value)| Label::new(label, value.to_owned()));
        Key::from_parts(self.name, labels.collect::<Vec<_>>())
    }
}

/// What a field of a group may be: a handle of one series, or of several that differ in a label.
pub(super) trait Handle {
    fn register(metric: &Metric<'_>) -> Self;
}

impl Handle for Counter {
    fn register(metric: &Metric<'_>) -> Self {
        let recorder = &metric.registry.recorder;
        recorder.describe_counter(metric.name.into(), None, metric.help.into());
        let counter = recorder.register_counter(&metric.key(), &METADATA);
        counter.increment(0);
        counter
    }
}

impl Handle for Gauge {
    fn register(metric: &Metric<'_>) -> Self {
        let recorder = &metric.registry.recorder;
        recorder.describe_gauge(metric.name.into(), None, metric.help.into());
        let gauge = recorder.register_gauge(&metric.key(), &METADATA);
        gauge.set(0.0);
        gauge
    }
}

impl Handle for Histogram {
    fn register(metric: &Metric<'_>) -> Self {
        let recorder = &metric.registry.recorder;
        let unit = if metric.name.ends_with("_seconds") { Unit::Seconds } else { Unit::Count };
        recorder.describe_histogram(metric.name.into(), Some(unit), metric.help.into());
        recorder.register_histogram(&metric.key(), &METADATA)
    }
}

/// A group of series that share their labels: `field: kind = name, help;`.
macro_rules! series {
    ($(#[$doc:meta])* $group:ident {
        $($field:ident: $kind:ty = $name:literal, $help:literal;)*
    }) => {
        $(#[$doc])*
        pub struct $group {
            $(#[doc = $help] pub $field: $kind,)*
        }

        impl $group {
            #[cfg(test)]
            const NAMES: &[&str] = &[$($name),*];

            fn register(registry: &Registry, labels: &[(&'static str, &str)]) -> Self {
                use registry::{Handle, Metric};
                let metric =
                    |name, help| Metric { registry, name, help, labels: labels.to_vec() };
                Self { $($field: Handle::register(&metric($name, $help)),)* }
            }
        }
    };
}
pub(super) use series;
