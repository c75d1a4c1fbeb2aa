//! Pruning of the change log: old lines are removed, young lines and the newest line stay, and the
//! feeds of all instances go on.

use aka_test_support::{
    Aka, Backend, Database, PROJECT, Tables, check_is_clean, eventually, start_with,
};

on_backends!(old_lines_are_pruned: sqlite mysql_3 mariadb_1);
on_backends!(one_connection_prunes_at_a_time: mysql_1 mariadb_1);
on_backends!(an_instance_that_was_away_begins_a_new_epoch: sqlite mysql_1 mariadb_1);

/// Enough lines that pruning a shard takes several steps.
const OLD: usize = 2_500;
const YOUNG: usize = 6;

/// Prunes at once. In production the pruner waits ten minutes.
const SOON: [(&str, &str); 1] = [("AKA_PRUNE_WINDOW_MS", "200")];

/// Makes every line of the log two days older than it is.
async fn age_the_log(database: &Database) {
    for shard in 0..database.shards() {
        let sql = "UPDATE alias_change SET change_time_us = change_time_us - 172800000000";
        database.connect(shard).await.execute(sql).await;
    }
}

async fn lines(database: &Database) -> usize {
    database.tables().await.iter().map(|tables| tables.changes.len()).sum()
}

async fn pruned(aka: &Aka) -> f64 {
    aka.metric("aka_log_pruned_total", &[]).await
}

async fn epochs(aka: &Aka) -> f64 {
    aka.metric("aka_feed_epochs_total", &[]).await
}

/// Waits until these instances have applied every line, because lines of any age are pruned next.
async fn all_follow(database: &Database, instances: &[&Aka]) {
    let tables = database.tables().await;
    let newest = |shard: &Tables| shard.changes.iter().map(|change| change.seq).max().unwrap_or(0);
    let newest: i64 = tables.iter().map(newest).sum();
    for aka in instances {
        eventually("it has applied all lines", async || {
            #[expect(clippy::cast_precision_loss, reason = "a small number")]
            (aka.metric("aka_feed_applied_seq", &[]).await >= newest as f64).then_some(())
        })
        .await;
    }
}

async fn old_lines_are_pruned(backend: Backend) {
    let (database, keeper) = start_with(backend, &["--retention-s", "0"]).await;
    keeper.create_many("old", OLD).await;
    age_the_log(&database).await;
    keeper.create_many("young", YOUNG).await;
    let flags = ["--staleness-limit-ms", "60000"];
    let follower = Aka::serve(&database, &flags).await;
    let (one, two) = tokio::join!(
        Aka::serve_with_env(&database, &[], &SOON),
        Aka::serve_with_env(&database, &[], &SOON)
    );
    // Writes go on meanwhile.
    let mut written = 0;
    eventually("the old lines are gone", async || {
        follower.create(PROJECT, format!("late-{written}"), "somebody").await.expect("created");
        written += 1;
        (lines(&database).await == YOUNG + written).then_some(())
    })
    .await;
    // Each line was counted by exactly one of the two instances.
    eventually("all is counted", async || {
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        (pruned(&one).await + pruned(&two).await == OLD as f64).then_some(())
    })
    .await;
    for aka in [&keeper, &follower] {
        assert_eq!((pruned(aka).await, epochs(aka).await), (0.0, 0.0));
    }
    for (aka, id) in [(&keeper, "old-0"), (&follower, "old-1"), (&one, "young-0")] {
        let resolved = aka.resolve(PROJECT, id).await.expect("resolved");
        assert_eq!(resolved.canonical_id, format!("of-{id}"));
    }
    check_is_clean(&database).await;

    // However old it is, the newest line of each shard stays.
    all_follow(&database, &[&keeper, &follower, &one, &two]).await;
    age_the_log(&database).await;
    let newest = database.shards();
    eventually("all but the newest", async || (lines(&database).await == newest).then_some(()))
        .await;
    check_is_clean(&database).await;
    keeper.create_many("new", YOUNG).await;
    assert_eq!((epochs(&keeper).await, epochs(&one).await), (0.0, 0.0));
    check_is_clean(&database).await;
}

/// Nothing is pruned while another connection holds the lock. The lock is free when that one ends.
async fn one_connection_prunes_at_a_time(backend: Backend) {
    let database = Database::create(backend).await;
    let mut other = database.connect(0).await;
    let lock =
        "SELECT GET_LOCK(CONCAT('aka prune ', LPAD(LOWER(HEX(cluster_id)), 16, '0'), ' 0'), 0)
                FROM shard_meta";
    assert_eq!(other.number(lock).await, 1);
    let aka = Aka::serve_with_env(&database, &[], &SOON).await;
    aka.create_many("old", 10).await;
    age_the_log(&database).await;
    // Many rounds: the pruner tries every 20 ms.
    eventually("it has looked many times", async || {
        (aka.metric("aka_feed_looks_total", &[]).await > 60.0).then_some(())
    })
    .await;
    assert_eq!(lines(&database).await, 10);
    drop(other);
    eventually("it prunes", async || (lines(&database).await == 1).then_some(())).await;
}

/// An instance that slept while the log was pruned past its cursor drops what it remembers.
async fn an_instance_that_was_away_begins_a_new_epoch(backend: Backend) {
    let database = Database::create(backend).await;
    let pruner = Aka::serve_with_env(&database, &[], &SOON).await;
    let sleeper = Aka::serve(&database, &["--staleness-limit-ms", "3600000"]).await;
    pruner.create(PROJECT, "bob", "alice").await.expect("created");
    // Before, with such a staleness limit, its filter may say that there is no such alias.
    eventually("the sleeper's feed has seen bob", async || {
        let resolved = sleeper.resolve(PROJECT, "bob").await.expect("resolved");
        resolved.is_alias.then_some(())
    })
    .await;
    eventually("the sleeper remembers bob", async || {
        let resolved = sleeper.resolve(PROJECT, "bob").await.expect("resolved");
        assert_eq!(resolved.canonical_id, "alice");
        (sleeper.metric("aka_lookups_total", &["outcome=\"hit\""]).await > 0.0).then_some(())
    })
    .await;
    sleeper.pause();
    pruner.delete(PROJECT, "bob", 0).await.expect("deleted");
    pruner.create_many("other", 3).await;
    age_the_log(&database).await;
    eventually("the log is pruned", async || (lines(&database).await == 1).then_some(())).await;
    sleeper.resume();
    eventually("the sleeper starts anew", async || (epochs(&sleeper).await > 0.0).then_some(()))
        .await;
    let resolved = sleeper.resolve(PROJECT, "bob").await.expect("resolved");
    assert!(!resolved.is_alias, "{resolved:?}");
}
