//! The end of the fault test: every instance, the tables and the history agree.

use super::checker::{self, Violation};
use super::reader::{PATIENT, World, within};
use super::site::{INSTANCES, SHARDS, held};
use aka_test_support::{Database, PROJECT, bytes, eventually, invariants, run_aka};
use aka_wire::pb;
use std::collections::HashMap;

/// Compares every key on every instance, from memory if it is there, with the rows (P4), and the
/// rows with the history (P1). All writes have ended.
pub async fn check(world: &World) -> Vec<Violation> {
    let database = world.site.database();
    let tables = database.tables().await;
    let rows = held(&tables);
    let mut violations = checker::check_tables(&world.history, &rows);
    for index in 0..INSTANCES {
        for (shard, tables) in tables.iter().enumerate() {
            let label = format!("shard=\"{shard}\"");
            let aka = world.site.instance(index);
            eventually("the feed has come to the end", async || {
                let applied = aka.metric("aka_feed_applied_seq", &[&label]).await;
                let age = aka.metric("aka_feed_staleness_seconds", &[&label]).await;
                (applied as i64 == tables.clock.0 && age < 1.0).then_some(())
            })
            .await;
        }
        // Twice: the second read finds in memory what the first has loaded.
        for _ in 0..2 {
            violations.extend(disagreements(world, index, &rows).await);
        }
    }
    violations
}

async fn disagreements(
    world: &World,
    instance: usize,
    rows: &HashMap<String, u32>,
) -> Vec<Violation> {
    let keys = &world.history.keys;
    let answer = eventually("it answers for every key", async || {
        let request = pb::BatchResolveRequest {
            project_id: PROJECT,
            distinct_ids: keys.iter().map(|key| bytes(&key.id)).collect(),
            consistency_token: String::new(),
        };
        let aka = world.site.instance(instance);
        let answer = aka.resolver().batch_resolve(within(PATIENT, request)).await.ok()?;
        let answer = answer.into_inner();
        (answer.failures.is_empty() && !answer.degraded).then_some(answer)
    })
    .await;
    let mut seen = vec![None; keys.len()];
    for alias in answer.aliases {
        seen[alias.index as usize] = Some(alias.canonical_id);
    }
    let differ = keys.iter().zip(seen).filter_map(|(key, seen)| {
        let state = rows.get(&key.id).copied();
        let expected = key.canonical(state).map(bytes);
        (seen != expected).then(|| Violation {
            promise: "P4",
            text: format!("{} is {seen:?} on {instance}, and {expected:?} in the tables", key.id),
        })
    });
    differ.collect()
}

/// The invariants hold, except for aliases that lost the other half of a write in a failover of one
/// of their shards. `aka check` can repair those.
pub async fn check_invariants(world: &World) {
    let database = world.site.database();
    let found = problems(&database, &["--json"]).await;
    for problem in &found {
        let text = problem["text"].as_str().expect("a text");
        let lossy = (0..SHARDS).any(|shard| !world.history.failovers(shard).is_empty());
        assert!(lossy && problem["kind"] == "unpinned", "aka check: {text}");
    }
    if !found.is_empty() {
        println!("{} aliases lost their pins in a failover, and get them back", found.len());
        problems(&database, &["--json", "--repair"]).await;
    }
    let left = problems(&database, &["--json"]).await;
    assert!(left.is_empty(), "aka check --repair left {left:?}");
    // Killed instances may have left orphans.
    invariants::assert_hold(&database, true).await;
}

async fn problems(database: &Database, flags: &[&str]) -> Vec<serde_json::Value> {
    let flags = flags.iter().map(|flag| (*flag).to_owned());
    let output = run_aka("check", &[database.flags(), flags.collect()].concat()).await;
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("aka check: {error}: {output:?}"));
    report["problems"].as_array().expect("a list").clone()
}
