//! Reads: beside writes, in bursts of misses, with sick shards, and with too little time, room in
//! queues, or memory.

use aka_test_support::{Aka, Database, PROJECT, create_request, eventually};

mod coalescing;
mod deadlines;
mod freshness;
mod memory;
mod outages;
mod overload;
mod propagation;
mod warm;

/// Makes each of these ids an alias of `person-of-ID`, through an `aka` that then ends. So no
/// running `aka` has them in memory.
async fn store_aliases(database: &Database, ids: &[String]) {
    let aka = Aka::serve(database, &[]).await;
    for ids in ids.chunks(1_000) {
        let requests = ids.iter().map(|id| create_request(PROJECT, id, person_of(id)));
        let created = aka.create_all(requests.collect()).await.expect("a batch");
        assert!(created.results.iter().all(|result| result.response.is_some()));
    }
}

fn person_of(id: &str) -> String {
    format!("person-of-{id}")
}

/// Waits until an `aka` has applied every change. From then on its memory may answer.
async fn settled(aka: &Aka, database: &Database) {
    let tables = database.tables().await;
    for (shard, tables) in tables.iter().enumerate() {
        let label = format!("shard=\"{shard}\"");
        eventually("all changes are applied", async || {
            let looks = aka.metric("aka_feed_looks_total", &[&label]).await;
            let applied = aka.metric("aka_feed_applied_seq", &[&label]).await;
            #[expect(clippy::cast_precision_loss, reason = "a small number")]
            (looks >= 1.0 && applied == tables.clock.0 as f64).then_some(())
        })
        .await;
    }
}
