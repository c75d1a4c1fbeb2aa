//! What a database refuses, and what aka says about it.

mod barred;
mod foreign;
mod packets;
mod sandbox;
mod v1;

use aka_test_support::{Aka, DbServer, Ended, Engine, aka};

/// A server of the test's own, whose settings it may change.
async fn own(engine: Engine, options: &'static [&'static str]) -> DbServer {
    let started = tokio::task::spawn_blocking(move || DbServer::start_with(engine, options)).await;
    started.expect("the server starts")
}

/// `aka status`.
async fn status(server: &Aka) -> Ended {
    let metrics = server.metrics.to_string();
    aka(["status", "--metrics-server", &metrics]).run().await
}

/// How many errors of this kind the first shard has counted.
async fn errors(server: &Aka, kind: &str) -> f64 {
    let kind = format!("kind=\"{kind}\"");
    server.metric("aka_shard_errors_total", &["shard=\"0\"", &kind]).await
}
