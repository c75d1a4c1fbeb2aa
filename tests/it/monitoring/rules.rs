//! The rules and alerts of Prometheus, and the runbooks.

use super::prometheus::{Prometheus, promtool};
use super::series::Series;
use super::{read, repository, start_in_use};
use aka_test_support::eventually;
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Output;

fn assert_succeeded(output: &Output) {
    let said = [&output.stdout[..], &output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

/// The names after this word in a file, each as often as it stands there.
fn names(path: &str, word: &str) -> Vec<String> {
    let text = read(path);
    let names = text.lines().filter_map(|line| line.trim().strip_prefix(word));
    names.map(|name| name.trim().to_owned()).collect()
}

fn alerts() -> BTreeSet<String> {
    let all = names("deploy/prometheus/alerts.yml", "- alert: ");
    let alerts: BTreeSet<String> = all.iter().cloned().collect();
    assert_eq!(alerts.len(), all.len(), "two alerts have one name: {all:?}");
    alerts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promtool_finds_no_fault() {
    assert_succeeded(&promtool(&["check", "config", "prometheus.yml"]).await);
    assert_succeeded(&promtool(&["test", "rules", "alerts_test.yml"]).await);
}

#[test]
fn each_alert_is_tested_firing_and_silent() {
    let text = read("deploy/prometheus/alerts_test.yml");
    let (mut firing, mut silent) = (BTreeSet::new(), BTreeSet::new());
    for case in text.split("alertname: ").skip(1) {
        let name = case.lines().next().unwrap_or_default().to_owned();
        match case.contains("exp_alerts: []") {
            true => silent.insert(name),
            false => firing.insert(name),
        };
    }
    assert_eq!(firing, alerts(), "each alert has a case in which it fires");
    assert_eq!(silent, alerts(), "each alert has a case in which it does not");
}

#[test]
fn each_alert_has_a_runbook() {
    let index = read("docs/runbooks/README.md");
    let pages = names("deploy/prometheus/alerts.yml", "runbook: ");
    assert_eq!(pages.len(), alerts().len(), "each alert names one");
    let pages: BTreeSet<String> = pages.into_iter().collect();
    let mut titles = BTreeSet::new();
    for page in &pages {
        let text = read(page);
        let title = text.lines().next().and_then(|line| line.strip_prefix("# "));
        titles.extend(title.expect("a title").split(", ").map(ToOwned::to_owned));
        for heading in ["## What it means\n", "## What to look at\n", "## What to do\n"] {
            assert!(text.contains(heading), "{page} has no {heading:?}");
        }
        let file = page.rsplit('/').next().expect("a path");
        assert!(index.contains(&format!("]({file})")), "README.md does not name {file}");
    }
    assert_eq!(titles, alerts(), "the titles of the pages");
    let folder = std::fs::read_dir(repository("docs/runbooks")).expect("a folder").count();
    assert_eq!(folder, pages.len() + 1, "a page belongs to no alert");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_prometheus_evaluates_them() {
    let (_database, aka) = start_in_use().await;
    let series = Series::of(&aka).await;
    let prometheus = Prometheus::scraping(aka.metrics).await;
    let rules = async || {
        let rules = prometheus.rules().await;
        let evaluated = rules.iter().all(|rule| rule["health"] != "unknown");
        evaluated.then_some(rules)
    };
    let rules = eventually("all rules are evaluated", rules).await;
    let text = |rule: &Value, key: &str| rule[key].as_str().unwrap_or_default().to_owned();
    let recorded = rules.iter().filter(|rule| rule["type"] == "recording");
    let recorded: BTreeSet<String> = recorded.map(|rule| text(rule, "name")).collect();
    let alerting = rules.iter().filter(|rule| rule["type"] == "alerting");
    let alerting: BTreeSet<String> = alerting.map(|rule| text(rule, "name")).collect();
    assert_eq!(alerting, alerts());
    for rule in &rules {
        assert_eq!(rule["health"], "ok", "{rule}");
        let faults = series.faults(&text(rule, "query"), &recorded);
        assert!(faults.is_empty(), "{}: {faults:?}", text(rule, "name"));
    }
    for name in &recorded {
        let found = async || (!prometheus.query(name).await.is_empty()).then_some(());
        eventually(&format!("{name} is recorded"), found).await;
    }
    let firing = prometheus.query(r#"ALERTS{alertstate="firing"}"#).await;
    assert!(firing.is_empty(), "a server that is well: {firing:?}");
}
