//! The series of a running `aka`, and the names and labels that an expression asks for.

use aka_test_support::Aka;
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// By metric, by label: its values.
pub struct Series(BTreeMap<String, BTreeMap<String, BTreeSet<String>>>);

/// Labels that Prometheus adds.
const ADDED: [&str; 2] = ["job", "instance"];

static LABEL: LazyLock<Regex> = LazyLock::new(|| pattern(r#"([a-z_]+)="([^"]*)""#));
static SELECTOR: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"\b((?:aka|grpc|up|job:|ALERTS)[a-z0-9_:]*)(?:\{([^}]*)\})?"));
static MATCHER: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"([a-z_]+)\s*(=~|!~|!=|=)\s*"([^"]*)""#));
static GROUPING: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b(?:by|on)\s*\(([^)]*)\)"));

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a pattern")
}

/// What is between the braces, or in the list of a label, is no name of a metric.
fn names_alone(expression: &str) -> String {
    GROUPING.replace_all(expression, "").into_owned()
}

impl Series {
    pub async fn of(aka: &Aka) -> Self {
        let mut series = Self(BTreeMap::new());
        for line in aka.scrape().await.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, _)) = line.rsplit_once(' ') else { continue };
            let (metric, labels) = name.split_once('{').unwrap_or((name, ""));
            let metric = series.0.entry(metric.to_owned()).or_default();
            for label in LABEL.captures_iter(labels) {
                metric.entry(label[1].to_owned()).or_default().insert(label[2].to_owned());
            }
        }
        series
    }

    /// The metrics, without the endings that histograms have.
    pub fn metrics(&self) -> BTreeSet<String> {
        let histogram = |name: &String| {
            let stem = name.strip_suffix("_bucket");
            stem.map(ToOwned::to_owned)
        };
        let histograms: BTreeSet<String> = self.0.keys().filter_map(histogram).collect();
        let plain = |name: &String| {
            let stems = ["_bucket", "_sum", "_count"].map(|end| name.strip_suffix(end));
            let of_histogram = stems.iter().flatten().any(|stem| histograms.contains(*stem));
            (!of_histogram).then(|| name.clone())
        };
        self.0.keys().filter_map(plain).chain(histograms.iter().cloned()).collect()
    }

    /// What is wrong with the names and labels of an expression. `recorded` are the names that rules
    /// record.
    pub fn faults(&self, expression: &str, recorded: &BTreeSet<String>) -> Vec<String> {
        let mut faults = Vec::new();
        let mut grouped_by = BTreeSet::from(ADDED.map(ToOwned::to_owned));
        for selector in SELECTOR.captures_iter(&names_alone(expression)) {
            let (name, matchers) = (&selector[1], selector.get(2).map_or("", |text| text.as_str()));
            if name == "up" || name.starts_with("ALERTS") || recorded.contains(name) {
                continue;
            }
            let Some(labels) = self.0.get(name) else {
                faults.push(format!("there is no series {name}"));
                continue;
            };
            grouped_by.extend(labels.keys().cloned());
            faults.extend(matcher_faults(name, labels, matchers));
        }
        for list in GROUPING.captures_iter(expression) {
            let labels = list[1].split(',').map(str::trim).filter(|label| !label.is_empty());
            let unknown = labels.filter(|label| !grouped_by.contains(*label));
            faults.extend(unknown.map(|label| format!("no series here has the label {label}")));
        }
        faults
    }
}

fn matcher_faults(
    name: &str,
    labels: &BTreeMap<String, BTreeSet<String>>,
    matchers: &str,
) -> Vec<String> {
    let mut faults = Vec::new();
    for matcher in MATCHER.captures_iter(matchers) {
        let (label, value) = (&matcher[1], &matcher[3]);
        if ADDED.contains(&label) {
            continue;
        }
        let Some(values) = labels.get(label) else {
            faults.push(format!("{name} has no label {label}"));
            continue;
        };
        // The variables of the dashboard stand for any value.
        let wanted = value.split('|').filter(|value| !value.starts_with('$'));
        let missing = wanted.filter(|value| !values.contains(*value));
        faults.extend(missing.map(|value| format!("{name} has no {label}={value:?}")));
    }
    faults
}

/// The metrics that an expression reads.
pub fn metrics_of(expression: &str) -> BTreeSet<String> {
    let names = names_alone(expression);
    SELECTOR.captures_iter(&names).map(|selector| selector[1].to_owned()).collect()
}

#[test]
fn faults_are_found() {
    let outcomes = BTreeSet::from(["hit".to_owned(), "loaded".to_owned()]);
    let lookups = BTreeMap::from([("outcome".to_owned(), outcomes)]);
    let series = Series(BTreeMap::from([("aka_lookups_total".to_owned(), lookups)]));
    let recorded = BTreeSet::from(["job:aka:rate5m".to_owned()]);
    for (expression, faults) in [
        (r#"sum by (job, outcome) (rate(aka_lookups_total{outcome=~"hit|loaded"}[5m]))"#, 0),
        (r#"job:aka:rate5m > 1 and on (instance) up{job="aka"} == 1"#, 0),
        ("rate(aka_lookup_total[5m])", 1),
        ("job:aka:rate1h", 1),
        (r#"aka_lookups_total{outcome=~"hit|lost"}"#, 1),
        (r#"aka_lookups_total{shard="0"}"#, 1),
        (r#"sum by (shard) (aka_lookups_total{outcome!="missed"})"#, 2),
    ] {
        let found = series.faults(expression, &recorded);
        assert_eq!(found.len(), faults, "{expression}: {found:?}");
    }
}
