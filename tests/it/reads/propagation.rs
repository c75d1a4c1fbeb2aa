//! The metric of propagation: how long changes are on their way, by the database's clock alone.

use aka_test_support::{Aka, Backend, Database, PROJECT, eventually, start};

on_backends!(propagation_is_measured: sqlite mysql_3 mariadb_1);

async fn propagation(aka: &Aka, what: &str) -> f64 {
    aka.metric(&format!("aka_feed_propagation_seconds_{what}"), &[]).await
}

/// Waits until so many changes were applied; the sum of their times.
async fn after(aka: &Aka, changes: f64) -> f64 {
    let applied = async || (propagation(aka, "count").await == changes).then_some(());
    eventually("each change is measured once", applied).await;
    propagation(aka, "sum").await
}

async fn propagation_is_measured(backend: Backend) {
    let (database, writer) = start(backend).await;
    let reader = Aka::serve(&database, &[]).await;
    assert_eq!(after(&reader, 0.0).await, 0.0);
    super::settled(&reader, &database).await;
    for n in 0..5 {
        writer.create(PROJECT, format!("person-{n}"), "somebody").await.expect("created");
    }
    let sum = after(&reader, 5.0).await;
    assert!(sum > 0.0, "{sum}");

    // An instance that was paused for a second reports changes that took at least that long.
    reader.pause();
    writer.create(PROJECT, "late", "somebody").await.expect("created");
    let shard = database.shard_of(PROJECT, "late");
    wait_a_second(&database, shard, backend).await;
    reader.resume();
    let late = after(&reader, 6.0).await - sum;
    assert!(late >= 1.0, "{late}");
}

/// Waits until the newest change of a shard is a second old.
async fn wait_a_second(database: &Database, shard: usize, backend: Backend) {
    let now = match backend {
        Backend::Sqlite => "CAST(unixepoch('subsec') * 1000000 AS INTEGER)",
        Backend::Shards(..) => "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))",
    };
    let age = format!("SELECT {now} - MAX(change_time_us) FROM alias_change");
    let mut database = database.connect(shard).await;
    eventually("it is a second old", async || {
        (database.number(&age).await > 1_000_000).then_some(())
    })
    .await;
}
