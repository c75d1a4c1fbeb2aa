//! The dashboard names every metric and no other, and a real Prometheus has a series for every line of
//! every panel.

use super::prometheus::Prometheus;
use super::series::{Series, metrics_of};
use super::{read, start_in_use};
use crate::tls::{Authority, KeyFolder};
use aka_test_support::{Aka, Database, backend, eventually};
use serde_json::Value;
use std::collections::BTreeSet;

/// Metrics that no panel shows, and why not.
const NOT_SHOWN: [(&str, &str); 0] = [];

struct Dashboard(Value);

/// One line of a panel.
struct Target {
    panel: String,
    expression: String,
    legend: String,
}

impl Dashboard {
    fn read() -> Self {
        Self(serde_json::from_str(&read("deploy/grafana/aka.json")).expect("JSON"))
    }

    /// All panels but the headings of rows.
    fn panels(&self) -> impl Iterator<Item = &Value> {
        let panels = self.0["panels"].as_array().expect("a list");
        panels.iter().filter(|panel| panel["type"] != "row")
    }

    fn targets(&self) -> Vec<Target> {
        let of_panel = |panel: &Value| {
            let target = |target: &Value| Target {
                panel: text(&panel["title"]),
                expression: text(&target["expr"]),
                legend: text(&target["legendFormat"]),
            };
            let targets = panel["targets"].as_array().expect("a list");
            targets.iter().map(target).collect::<Vec<_>>()
        };
        self.panels().flat_map(of_panel).collect()
    }

    /// The queries of the variables.
    fn variables(&self) -> Vec<String> {
        let variables = self.0["templating"]["list"].as_array().expect("a list");
        let queries = variables.iter().filter(|variable| variable["type"] == "query");
        queries.map(|variable| text(&variable["query"]["query"])).collect()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// An expression with the variables as Grafana fills them in, if nothing is chosen.
fn filled_in(expression: &str) -> String {
    let variables = ["$job", "$instance", "$shard"];
    let filled =
        variables.iter().fold(expression.to_owned(), |text, name| text.replace(name, ".+"));
    filled.replace("$__rate_interval", "10s")
}

/// A server with TLS on its gRPC port, so that it shows when its certificate expires.
async fn start() -> (Database, Aka, KeyFolder) {
    let files = KeyFolder::new(&Authority::new().server(), "");
    let (cert, key) = (files.path("cert"), files.path("key"));
    let database = Database::create(backend::sqlite()).await;
    let aka = Aka::serve(&database, &["--tls-cert", &cert, "--tls-key", &key]).await;
    (database, aka, files)
}

#[test]
fn every_panel_says_what_it_shows() {
    let dashboard = Dashboard::read();
    let mut titles = BTreeSet::new();
    for panel in dashboard.panels() {
        let title = text(&panel["title"]);
        assert!(!title.is_empty() && titles.insert(title.clone()), "a title of its own: {panel}");
        assert!(text(&panel["description"]).ends_with('.'), "{title} is not explained");
        assert!(!text(&panel["fieldConfig"]["defaults"]["unit"]).is_empty(), "{title}: no unit");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
    }
    for Target { panel, expression, legend } in dashboard.targets() {
        assert!(!legend.is_empty() && legend != "__auto", "{panel}: no legend for {expression}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_names_every_metric_and_no_other() {
    let (_database, aka) = start_in_use().await;
    let series = Series::of(&aka).await;
    let recording = read("deploy/prometheus/recording.yml");
    let recorded = recording.lines().filter_map(|line| line.trim().strip_prefix("- record: "));
    let recorded: BTreeSet<String> = recorded.map(ToOwned::to_owned).collect();
    let dashboard = Dashboard::read();
    let expressions = dashboard.targets().into_iter().map(|target| target.expression);
    let expressions: Vec<String> = expressions.chain(dashboard.variables()).collect();
    let faults = |expression: &String| {
        let faults = series.faults(expression, &recorded);
        let faults = faults.iter().map(|fault| format!("{fault}: {expression}"));
        faults.collect::<Vec<_>>()
    };
    let faults: Vec<String> = expressions.iter().flat_map(faults).collect();
    assert!(faults.is_empty(), "{faults:#?}");

    let read: BTreeSet<String> = expressions.iter().flat_map(|text| metrics_of(text)).collect();
    let is_read = |metric: &String| {
        let names = ["", "_bucket", "_sum", "_count"].map(|end| format!("{metric}{end}"));
        names.iter().any(|name| read.contains(name))
    };
    let not_shown: BTreeSet<_> = NOT_SHOWN.iter().map(|(metric, _)| *metric).collect();
    let missing = series.metrics().into_iter().filter(|metric| !is_read(metric));
    let missing: Vec<String> = missing.filter(|metric| !not_shown.contains(&**metric)).collect();
    assert!(missing.is_empty(), "no panel shows them, and NOT_SHOWN does not say why: {missing:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_has_a_series_for_every_line() {
    let (_database, aka, _files) = start().await;
    let prometheus = Prometheus::scraping(aka.metrics).await;
    for Target { panel, expression, .. } in Dashboard::read().targets() {
        let expression = filled_in(&expression);
        let what = format!("{panel} has a series: {expression}");
        let shown = async || {
            let found = prometheus.query(&expression).await;
            (!found.is_empty()).then_some(())
        };
        eventually(&what, shown).await;
    }
}
