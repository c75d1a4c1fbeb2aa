//! The first lookups of an instance find their answers in memory: the scan that fills the filter fills
//! the cache, and what memory held outlives its process.

use super::{person_of, store_aliases};
use aka_test_support::{Aka, Backend, Database, PROJECT, eventually};
use std::os::unix::fs::PermissionsExt;

/// Memory stays fresh even on a busy machine, and no answer is looked up a second time for the
/// audit.
const STEADY: [&str; 4] = ["--staleness-limit-ms", "120000", "--audit-sample", "0"];

/// Databases with this many aliases.
async fn filled(backend: Backend, aliases: usize) -> (Database, Vec<String>) {
    let database = Database::create(backend).await;
    let ids: Vec<String> = (0..aliases).map(|number| format!("alias-{number}")).collect();
    store_aliases(&database, &ids).await;
    (database, ids)
}

/// Starts an instance that knows of no earlier one, and waits until it has read all aliases.
async fn warm(database: &Database, flags: &[&str]) -> Aka {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let folder = folder.path().to_str().expect("UTF-8");
    let aka = Aka::serve(database, &[&STEADY[..], &["--filter-dir", folder], flags].concat()).await;
    filled_from(&aka, database, "the filter is filled").await;
    aka
}

/// Waits until each shard has logged this.
async fn filled_from(aka: &Aka, database: &Database, line: &str) {
    eventually("memory is filled", async || {
        (aka.logged(line).len() == database.shards()).then_some(())
    })
    .await;
}

/// Resolves all ids, and returns how many queries that took.
async fn queries_of(aka: &Aka, ids: &[String]) -> f64 {
    let before = aka.lookup_queries().await;
    for ids in ids.chunks(1_000) {
        let answer = aka.batch_resolve(PROJECT, ids).await.expect("resolved");
        let found: Vec<_> = answer.aliases.iter().map(|found| &found.canonical_id[..]).collect();
        assert_eq!(found, ids.iter().map(|id| person_of(id).into_bytes()).collect::<Vec<_>>());
    }
    aka.lookup_queries().await - before
}

on_backends!(the_first_lookups_are_answered_by_memory: sqlite mysql_3 mariadb_1);

async fn the_first_lookups_are_answered_by_memory(backend: Backend) {
    let (database, ids) = filled(backend, 5_000).await;
    let aka = warm(&database, &[]).await;
    assert_eq!(queries_of(&aka, &ids).await, 0.0);
    // What entered by the scan is kept up to date as all else is.
    let writer = Aka::serve(&database, &STEADY).await;
    let version = writer.get(PROJECT, &ids[7]).await.expect("an alias").version;
    writer.update(PROJECT, &ids[7], "somebody", version).await.expect("updated");
    let version = writer.get(PROJECT, &ids[8]).await.expect("an alias").version;
    writer.delete(PROJECT, &ids[8], version).await.expect("deleted");
    eventually("the changes are seen", async || {
        let updated = aka.resolve(PROJECT, &ids[7]).await.expect("resolved");
        let deleted = aka.resolve(PROJECT, &ids[8]).await.expect("resolved");
        (updated.canonical_id == b"somebody"[..] && !deleted.is_alias).then_some(())
    })
    .await;
}

on_backends!(a_cache_that_is_too_small_keeps_what_is_asked_for: mysql_1);

async fn a_cache_that_is_too_small_keeps_what_is_asked_for(backend: Backend) {
    let (database, ids) = filled(backend, 20_000).await;
    let aka = warm(&database, &["--cache-mib", "1"]).await;
    let used = aka.metric("aka_cache_bytes", &[]).await;
    assert!((0.5..0.95).contains(&(used / f64::from(1 << 20))), "{used} bytes");
    // The scan went in order of the table. These ids are spread over it.
    let wanted = &ids[..300];
    assert!(queries_of(&aka, wanted).await > 0.0, "some of them were not kept");
    for _ in 0..3 {
        queries_of(&aka, wanted).await;
    }
    assert_eq!(queries_of(&aka, wanted).await, 0.0, "what is asked for has displaced the rest");
}

on_backends!(what_memory_held_outlives_the_process: sqlite mysql_3 mariadb_1);

async fn what_memory_held_outlives_the_process(backend: Backend) {
    let (database, ids) = filled(backend, 3_000).await;
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let flags = [&STEADY[..], &["--filter-dir", folder.path().to_str().expect("UTF-8")]].concat();
    let aka = Aka::serve(&database, &flags).await;
    filled_from(&aka, &database, "the filter is filled").await;
    assert_eq!(queries_of(&aka, &ids).await, 0.0);
    assert!(aka.stop().await.success());
    let key = folder.path().join("cache.key").metadata().expect("a key");
    assert_eq!((key.permissions().mode() & 0o777, key.len()), (0o600, 16));

    // What changes meanwhile is brought up to date.
    let writer = Aka::serve(&database, &["--filter", "false"]).await;
    let (updated, deleted) = (&ids[7], &ids[8]);
    let version = writer.get(PROJECT, updated).await.expect("an alias").version;
    writer.update(PROJECT, updated, "somebody", version).await.expect("updated");
    writer.delete(PROJECT, deleted, 0).await.expect("deleted");

    let aka = Aka::serve(&database, &flags).await;
    filled_from(&aka, &database, "the cache is filled from the snapshot").await;
    assert_eq!(aka.metric("aka_filter_scans_total", &[]).await, 0.0, "no table was read");
    assert_eq!(queries_of(&aka, &ids[9..]).await, 0.0);
    let resolved = aka.resolve(PROJECT, updated).await.expect("resolved");
    assert_eq!(resolved.canonical_id, b"somebody"[..]);
    assert!(!aka.resolve(PROJECT, deleted).await.expect("resolved").is_alias);
    assert!(aka.stop().await.success());

    // With another key, what was saved means nothing, and is left out.
    std::fs::remove_file(folder.path().join("cache.key")).expect("it can be removed");
    let aka = Aka::serve(&database, &flags).await;
    filled_from(&aka, &database, "the cache is filled from the snapshot").await;
    assert!(queries_of(&aka, &ids[9..]).await > 0.0);
}
