//! A shard that cannot be reached when `aka` starts hurts its own ids only, and is taken in when it
//! is back.

use aka_test_support::{
    Aka, Database, DbServer, Engine, PROJECT, assert_refused, eventually, shared_server,
};
use tonic::Code;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_shards_are_served() {
    let own = tokio::task::spawn_blocking(|| DbServer::start(Engine::MariaDb)).await;
    let own = own.expect("the server starts");
    let shared = tokio::task::spawn_blocking(|| shared_server(Engine::MariaDb)).await;
    let shared = shared.expect("the shared server starts");
    let database = Database::on(&[shared, &own, shared]).await;
    let [first, missing, third] =
        [0, 1, 2].map(|shard| database.ids_on(shard, PROJECT, "person", 3));
    let aka = Aka::serve(&database, &[]).await;
    for ids in [&first, &missing, &third] {
        aka.create(PROJECT, &ids[0], &ids[1]).await.expect("created");
    }
    assert!(aka.stop().await.success());
    own.kill();

    let aka = Aka::serve(&database, &[]).await;
    for ids in [&first, &third] {
        let resolved = aka.resolve(PROJECT, &ids[0]).await.expect("its shard is there");
        assert_eq!((&resolved.canonical_id[..], resolved.degraded), (ids[1].as_bytes(), false));
        aka.create(PROJECT, &ids[2], &ids[1]).await.expect("created");
    }
    refuses_the_missing_shards_ids(&aka, &first, &missing).await;

    tokio::task::block_in_place(|| own.restart());
    let resolved =
        eventually("the shard is back", async || aka.resolve(PROJECT, &missing[0]).await.ok())
            .await;
    assert_eq!((&resolved.canonical_id[..], resolved.is_alias), (missing[1].as_bytes(), true));
    eventually("writes, too", async || aka.create(PROJECT, &missing[2], &first[1]).await.ok())
        .await;
    let aliases = aka.list_all(PROJECT, &first[1], 10).await;
    assert_eq!(aliases.len(), 3, "{aliases:?}");
}

/// "Could not find out" is never "no alias".
async fn refuses_the_missing_shards_ids(aka: &Aka, here: &[String], missing: &[String]) {
    for id in missing {
        let refused = aka.resolve(PROJECT, id).await.expect_err("nobody can know");
        let details = assert_refused(&refused, Code::Unavailable, "SHARD_UNAVAILABLE");
        assert!(details.retry_info().is_some(), "{details:?}");
    }
    for (alias, canonical) in [(&missing[0], &missing[1]), (&here[0], &missing[0])] {
        let refused = aka.create(PROJECT, alias, canonical).await.expect_err("a half is missing");
        let details = assert_refused(&refused, Code::Unavailable, "SHARD_UNAVAILABLE");
        assert!(details.retry_info().is_some(), "{details:?}");
    }
    let refused = aka.get(PROJECT, &missing[0]).await.expect_err("nobody can know");
    assert_refused(&refused, Code::Unavailable, "SHARD_UNAVAILABLE");

    let batch = [&here[0], &missing[0], &here[1], &missing[2]];
    let answer = aka.batch_resolve(PROJECT, batch).await.expect("the batch is answered");
    let aliases: Vec<_> = answer.aliases.iter().map(|alias| alias.index).collect();
    assert_eq!(aliases, [0]);
    let failures: Vec<_> = answer.failures.iter().map(|f| (f.index, f.reason.as_str())).collect();
    assert_eq!(failures, [(1, "SHARD_UNAVAILABLE"), (3, "SHARD_UNAVAILABLE")]);
    assert!(answer.failures.iter().all(|failure| failure.code == Code::Unavailable as i32));
    assert!(aka.metric("aka_shard_up", &["shard=\"1\""]).await < 0.5);
    assert!(aka.metric("aka_shard_up", &["shard=\"0\""]).await > 0.5);
}
