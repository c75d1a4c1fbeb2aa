//! Reads after writes, over two instances, of which one hears of no changes.

use super::{alias_of, connect, no_alias, options};
use aka_test_support::{Aka, Backend, PROJECT, start};
use futures::future::join_all;

on_backends!(a_session_sees_its_writes_on_any_instance: mysql_1 mysql_3);

/// The second instance looks at the changes once an hour, so only a token makes its reads fresh.
async fn a_session_sees_its_writes_on_any_instance(backend: Backend) {
    let (database, writer) = start(backend).await;
    let limits = ["--feed-interval-ms", "3600000", "--staleness-limit-ms", "7200000"];
    let held = Aka::serve(&database, &limits).await;
    let (both, of_held) =
        (connect(options([&writer, &held])).await, connect(options([&held])).await);
    let ids: Vec<String> = (0..40).map(|n| format!("id-{n}")).collect();
    for id in &ids {
        // It remembers that these are no aliases.
        assert_eq!(of_held.resolve(PROJECT, id.clone()).await, Ok(no_alias(id.clone())));
    }
    let session = both.session();
    for (n, id) in ids.iter().enumerate() {
        let canonical = format!("canonical-{n}");
        session.create_alias(PROJECT, id.clone(), canonical.clone()).await.expect("created");
        // Twice, so that both instances are asked.
        let reads = join_all((0..2).map(|_| session.resolve(PROJECT, id.clone()).into_future()));
        for read in reads.await {
            assert_eq!(read, Ok(alias_of(&canonical)));
        }
    }
    // One position for each shard, however many writes there were.
    assert!(session.token().len() < 60 * database.shards(), "{}", session.token());
    // Handed on: another program, which knows only the other instance.
    let other = of_held.session();
    other.adopt(&session.token());
    let last = ids.len() - 1;
    let read = other.resolve(PROJECT, ids[last].clone()).await;
    assert_eq!(read, Ok(alias_of(&format!("canonical-{last}"))));
    let all = ids.iter().map(|id| id.clone().into()).collect();
    for (n, read) in other.resolve_all(PROJECT, all).await.into_iter().enumerate() {
        assert_eq!(read, Ok(alias_of(&format!("canonical-{n}"))));
    }
}
