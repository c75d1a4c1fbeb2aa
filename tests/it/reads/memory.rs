//! Memory stays inside its budget, for any keys (P13).

use super::settled;
use aka_test_support::{Aka, Backend, Database, PROJECT};

/// How many ids are asked for, each once. Each is almost as long as an id may be. All entries together
/// would take 60 MB.
const IDS: usize = 100_000;
const BATCH: usize = 10_000;

/// After this many batches the budget is used up, and every buffer has its final size.
const WARM: usize = 3;

/// The value of `--cache-mib`, and how much the process may grow. Allocators keep some memory.
const BUDGET_MIB: u64 = 4;
const GROWTH_MIB: u64 = 24;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_that_are_asked_for_once_stay_within_the_budget() {
    let database = Database::create(Backend::Sqlite).await;
    let budget = BUDGET_MIB.to_string();
    // Without the filter each id makes an entry.
    let flags = ["--cache-mib", &budget, "--staleness-limit-ms", "120000", "--filter", "false"];
    let aka = Aka::serve(&database, &flags).await;
    settled(&aka, &database).await;
    let ask = async |batch: usize| {
        let ids = (0..BATCH).map(|number| format!("{:0>250}", batch * BATCH + number));
        let answer = aka.batch_resolve(PROJECT, ids).await.expect("resolved");
        assert!(answer.failures.is_empty(), "{:?}", answer.failures.first());
    };
    for batch in 0..WARM {
        ask(batch).await;
    }
    let before = resident_mib(&aka);
    for batch in WARM..IDS / BATCH {
        ask(batch).await;
    }
    let after = resident_mib(&aka);
    println!("resident memory: {before} MiB when warm, {after} MiB at the end");
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
