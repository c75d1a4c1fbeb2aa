//! How many aliases one canonical id may have.

use aka_test_support::{
    Aka, Backend, PROJECT, assert_refused, create_request, invariants, start, start_with,
};
use tonic::{Code, Status};

on_backends!(the_configured_limit_holds);
on_backends!(the_default_limit_is_500);

#[track_caller]
fn assert_full<T: std::fmt::Debug>(answer: Result<T, Status>) {
    let refused = answer.expect_err("there is no room");
    assert_refused(&refused, Code::ResourceExhausted, "TOO_MANY_ALIASES");
}

async fn the_configured_limit_holds(backend: Backend) {
    // The sweeper never runs, so the limit itself must leave orphans out of the count.
    let flags = ["--max-aliases", "5", "--sweep-pause-ms", "86400000"];
    let (database, aka) = start_with(backend, &flags).await;
    for dead in 0..7 {
        database.plant_orphan(PROJECT, "alice", &format!("ghost-{dead}"), 7_200).await;
    }
    // Several orphans of one alias, as retries of a write that died leave them.
    for _ in 0..3 {
        database.plant_orphan(PROJECT, "alice", "alias-1", 7_200).await;
    }
    for number in 0..5 {
        let id = format!("alias-{number}");
        assert!(aka.dry_run(PROJECT, &id, "alice").await.expect("room").created);
        assert!(aka.create(PROJECT, &id, "alice").await.expect("room").created);
    }
    let before = database.tables().await;
    assert_full(aka.dry_run(PROJECT, "one-more", "alice").await);
    assert_full(aka.create(PROJECT, "one-more", "alice").await);
    assert_full(aka.create(PROJECT, "one-more", "alias-3").await);
    let again = aka.create(PROJECT, "alias-0", "alice").await.expect("the same again");
    assert!(!again.created);
    assert!(!aka.dry_run(PROJECT, "alias-0", "alice").await.expect("the same again").created);

    aka.create(PROJECT, "other", "erin").await.expect("another's room");
    let other = aka.get(PROJECT, "other").await.expect("an alias");
    assert_full(aka.update(PROJECT, "other", "alice", other.version).await);
    assert_eq!(aka.get(PROJECT, "other").await.expect("an alias"), other);
    aka.delete(PROJECT, "other", 0).await.expect("deleted");
    let rows = |tables: &[aka_test_support::Tables]| -> Vec<_> {
        tables.iter().map(|shard| (shard.forward.clone(), shard.inverse.clone())).collect()
    };
    assert_eq!(rows(&database.tables().await), rows(&before), "refused writes leave nothing");

    // `alias-1` has the same canonical id, so this update changes nothing and needs no room.
    let first = aka.get(PROJECT, "alias-0").await.expect("an alias");
    let same = aka.update(PROJECT, "alias-0", "alias-1", first.version).await.expect("the same");
    assert_eq!(same.alias.expect("an alias").version, first.version);
    aka.delete(PROJECT, "alias-0", 0).await.expect("deleted");
    aka.create(PROJECT, "one-more", "alice").await.expect("room again");
    assert_full(aka.create(PROJECT, "alias-0", "alice").await);
    invariants::assert_hold(&database, true).await;
}

async fn the_default_limit_is_500(backend: Backend) {
    let (database, aka) = start(backend).await;
    let create = |range: std::ops::Range<u32>| {
        let requests = range.map(|n| create_request(PROJECT, format!("alias-{n:03}"), "alice"));
        aka.create_all(requests.collect())
    };
    let created = create(0..499).await.expect("a batch");
    assert!(
        created.results.iter().all(|result| result.response.as_ref().is_some_and(|r| r.created))
    );
    assert!(aka.create(PROJECT, "alias-499", "alice").await.expect("the 500th").created);
    assert_full(aka.dry_run(PROJECT, "alias-500", "alice").await);
    assert_full(aka.create(PROJECT, "alias-500", "alice").await);
    assert_full(aka.create(PROJECT, "alias-500", "alias-007").await);

    // Safe to retry at the limit, alone and in a batch.
    assert!(!aka.create(PROJECT, "alias-123", "alice").await.expect("the same again").created);
    let again = create(0..501).await.expect("a batch");
    let (last, others) = again.results.split_last().expect("501 results");
    assert!(others.iter().all(|result| result.response.as_ref().is_some_and(|r| !r.created)));
    let failure = last.failure.as_ref().expect("one too many");
    assert_eq!((failure.index, &*failure.reason), (500, "TOO_MANY_ALIASES"));
    assert_listed(&aka).await;
    invariants::assert_hold(&database, false).await;
}

async fn assert_listed(aka: &Aka) {
    let expected: Vec<String> = (0..500).map(|number| format!("alias-{number:03}")).collect();
    assert_eq!(aka.list_all(PROJECT, "alice", 0).await, expected);
    assert_eq!(aka.list_all(PROJECT, "alice", 73).await, expected);
    assert_eq!(aka.list_all(PROJECT, "alice", i32::MAX).await, expected);
}
