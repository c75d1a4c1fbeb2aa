//! What operators look at: the dashboard, the rules, the alerts and their runbooks, held against a
//! running `aka` and a real Prometheus.

mod buckets;
mod dashboard;
mod prometheus;
mod rules;
mod series;

use aka_test_support::{Aka, Database, PROJECT, backend, start};
use std::fs;
use std::path::PathBuf;

/// A file of the repository.
fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Starts a server on SQLite, and makes the calls that people make.
async fn start_in_use() -> (Database, Aka) {
    let (database, aka) = start(backend::sqlite()).await;
    aka.create(PROJECT, "bob", "alice").await.expect("created");
    aka.resolve(PROJECT, "bob").await.expect("resolved");
    (database, aka)
}
