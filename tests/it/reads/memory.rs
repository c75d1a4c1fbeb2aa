//! Memory stays inside its budget, whatever the keys (P13).

use super::settled;
use crate::database::{Backend, Database};
use crate::harness::{Aka, PROJECT};

/// Ids that are asked for once; remembered, each would take some 380 bytes: 110 MB in all.
const IDS: usize = 300_000;
const BATCH: usize = 10_000;

/// What `--cache-mib` says, and what the process may grow by: allocators keep some for themselves.
const BUDGET_MIB: u64 = 8;
const GROWTH_MIB: u64 = 48;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_that_are_asked_for_once_do_not_fill_it() {
    let database = Database::create(Backend::Sqlite).await;
    let budget = BUDGET_MIB.to_string();
    let flags = ["--cache-mib", &budget, "--staleness-limit-ms", "120000"];
    let aka = Aka::serve(&database, &flags).await;
    settled(&aka, &database).await;
    let ask = async |batch: usize| {
        let ids = (0..BATCH).map(|n| format!("somebody-with-a-long-name-{:09}", batch * BATCH + n));
        let answer = aka.batch_resolve(PROJECT, ids).await.expect("resolved");
        assert!(answer.failures.is_empty(), "{:?}", answer.failures.first());
    };
    // Until the budget is used, and every buffer has its size.
    let warm = 5;
    for batch in 0..warm {
        ask(batch).await;
    }
    let before = resident_mib(&aka);
    for batch in warm..IDS / BATCH {
        ask(batch).await;
    }
    let after = resident_mib(&aka);
    assert!(after < before + GROWTH_MIB, "it grew from {before} to {after} MiB");
    let cached = aka.metric("aka_cache_bytes", &[]).await as u64 >> 20;
    assert!(cached <= BUDGET_MIB, "{cached} MiB are remembered");
    let entries = aka.metric("aka_cache_entries", &[]).await;
    assert!(entries > 1_000.0, "hardly anything is remembered: {entries}");
}

fn resident_mib(aka: &Aka) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", aka.pid()));
    let status = status.expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") >> 10
}
