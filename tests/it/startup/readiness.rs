//! An instance says that it is ready once its memory is warm, and serves before.

use super::waiting::probe;
use aka_test_support::{Aka, Backend, Database, aka as aka_command, eventually};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus::{self, NotServing, Serving};
use tonic_health::pb::health_client::HealthClient;

async fn health(aka: &Aka) -> ServingStatus {
    let answer = HealthClient::new(aka.channel()).check(HealthCheckRequest::default()).await;
    answer.expect("an answer").into_inner().status()
}

async fn readiness(aka: &Aka) -> (u16, String) {
    probe(aka.metrics.port(), "/readyz").await.expect("an answer")
}

on_backends!(it_is_ready_when_memory_is_warm: mysql_3 mariadb_1);

/// One shard does not answer the scan, because its table is locked.
async fn it_is_ready_when_memory_is_warm(backend: Backend) {
    let database = Database::create(backend).await;
    let mut owner = database.connect(0).await;
    owner.execute("LOCK TABLES alias WRITE").await;
    let aka = Aka::serve(&database, &["--ready-timeout-s", "600"]).await;
    let lacks = "warming up; shard 0 lacks its filter\n";
    eventually("the others are warm", async || {
        (readiness(&aka).await == (503, lacks.to_owned())).then_some(())
    })
    .await;
    assert_eq!(health(&aka).await, NotServing);
    let server = aka.metrics.to_string();
    let status = async || aka_command(["status", "--metrics-server", &server]).run().await;
    assert!(status().await.text().contains("; its memory warms up\n"));
    let watched = HealthClient::new(aka.channel()).watch(HealthCheckRequest::default()).await;
    let mut watched = watched.expect("a watch").into_inner();
    let news = watched.message().await.expect("no error").expect("news");
    assert_eq!(news.status(), NotServing);

    owner.execute("UNLOCK TABLES").await;
    let news = watched.message().await.expect("no error").expect("news");
    assert_eq!(news.status(), Serving);
    assert_eq!(readiness(&aka).await.0, 200);
    assert_eq!(health(&aka).await, Serving);
    assert!(!status().await.text().contains("warms up"));
}

on_backends!(it_waits_for_warmth_for_a_limited_time: mysql_1);

async fn it_waits_for_warmth_for_a_limited_time(backend: Backend) {
    let database = Database::create(backend).await;
    let mut owner = database.connect(0).await;
    owner.execute("LOCK TABLES alias WRITE").await;
    let aka = Aka::serve(&database, &["--ready-timeout-s", "1"]).await;
    eventually("it is ready", async || (readiness(&aka).await.0 == 200).then_some(())).await;
    assert_eq!(aka.logged("memory is not warm yet").len(), 1);
    owner.execute("UNLOCK TABLES").await;
}
