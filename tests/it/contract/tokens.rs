//! Consistency tokens: valid ones and invalid ones.

use aka_test_support::{
    Aka, Backend, Database, DbServer, Engine, PROJECT, assert_refused, batch_request, eventually,
    start,
};
use tonic::{Code, Status};

on_backends!(tokens_are_opaque_and_checked);
on_backends!(any_instance_answers_a_token: mysql_1 mysql_3 mariadb_3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_lacks_the_write_is_behind_its_token() {
    for engine in [Engine::MySql, Engine::MariaDb] {
        a_copy_is_behind_the_token(engine).await;
    }
}

#[track_caller]
fn assert_no_token<T: std::fmt::Debug>(answer: Result<T, Status>) {
    let refused = answer.expect_err("it is no token");
    let details = assert_refused(&refused, Code::InvalidArgument, "INVALID_TOKEN");
    super::invalid::assert_field(&details, "consistency_token");
}

async fn tokens_are_opaque_and_checked(backend: Backend) {
    let (_database, aka) = start(backend).await;
    let first = aka.create(PROJECT, "bob", "alice").await.expect("created").consistency_token;
    let second = aka.delete(PROJECT, "bob", 0).await.expect("deleted").consistency_token;
    let other = foreign_token().await;
    for bad in ["x", "!!", ",", "AQ", &first[1..], &format!("{first},"), &format!("{first} ")] {
        assert_no_token(aka.resolve_as_of(PROJECT, "bob", bad).await);
    }
    for bad in [other.clone(), format!("{first},{other}"), "A".repeat(50_000)] {
        assert_no_token(aka.resolve_as_of(PROJECT, "bob", &bad).await);
        // A bad token is refused also for ids that need no lookup.
        assert_no_token(aka.resolve_as_of(PROJECT, "null", &bad).await);
        let mut batch = batch_request(PROJECT, ["bob"]);
        batch.consistency_token = bad;
        assert_no_token(aka.resolver().batch_resolve(batch).await);
    }
    // Tokens may be joined, in any order, and more than once.
    for good in [format!("{first},{second}"), format!("{second},{first},{second}")] {
        let resolved = aka.resolve_as_of(PROJECT, "bob", &good).await.expect("resolved");
        assert_eq!((&*resolved.canonical_id, resolved.is_alias), (&b"bob"[..], false));
    }
}

async fn foreign_token() -> String {
    let (_database, other) = start(Backend::Sqlite).await;
    other.create(PROJECT, "bob", "alice").await.expect("created").consistency_token
}

/// The feeds poll once an hour, so only the token makes a read on another instance fresh.
async fn any_instance_answers_a_token(backend: Backend) {
    let (database, writer) = start(backend).await;
    let limits = ["--feed-interval-ms", "3600000", "--staleness-limit-ms", "7200000"];
    let reader = Aka::serve(&database, &limits).await;
    for id in ["bob", "carol", "dave", "erin"] {
        // The other instance remembers that these are not aliases.
        assert!(!reader.resolve(PROJECT, id).await.expect("resolved").is_alias);
        let token = writer.create(PROJECT, id, "alice").await.expect("created").consistency_token;
        let resolved = reader.resolve_as_of(PROJECT, id, &token).await.expect("resolved");
        assert_eq!((&*resolved.canonical_id, resolved.is_alias), (&b"alice"[..], true));

        let version = reader.get(PROJECT, id).await.expect("an alias").version;
        let updated = writer.update(PROJECT, id, "zoe", version).await.expect("updated");
        let resolved = reader.resolve_as_of(PROJECT, id, &updated.consistency_token).await;
        assert_eq!(resolved.expect("resolved").canonical_id, "zoe");

        let deleted = writer.delete(PROJECT, id, 0).await.expect("deleted");
        let token = format!("{token},{}", deleted.consistency_token);
        let resolved = reader.resolve_as_of(PROJECT, id, &token).await.expect("resolved");
        assert_eq!((&*resolved.canonical_id, resolved.is_alias), (id.as_bytes(), false));
    }
}

/// A copy of a database stands for a demoted primary, or for a failover that lost the last write.
async fn a_copy_is_behind_the_token(engine: Engine) {
    let primary = DbServer::start(engine);
    let database = Database::on(&[&primary]).await;
    let writer = Aka::serve(&database, &[]).await;
    let created = writer.create(PROJECT, "bob", "alice").await.expect("created");
    let version = created.alias.expect("an alias").version;
    primary.stop();
    let copy = primary.copy();
    primary.restart();
    // The writer's connections were closed with the server.
    let update = async || writer.update(PROJECT, "bob", "zoe", version).await.ok();
    let token = eventually("the writer reaches its database", update).await.consistency_token;

    copy.restart();
    let copied = Database::at(vec![copy.url(&database.names()[0])]);
    let reader = Aka::serve(&copied, &[]).await;
    assert_eq!(reader.resolve(PROJECT, "bob").await.expect("resolved").canonical_id, "alice");
    let refused = reader.resolve_as_of(PROJECT, "bob", &token).await.expect_err("it is behind");
    let details = assert_refused(&refused, Code::Unavailable, "TOKEN_AHEAD");
    assert!(details.retry_info().is_some());
    let mut batch = batch_request(PROJECT, ["bob"]);
    batch.consistency_token = token.clone();
    let answer = reader.resolver().batch_resolve(batch).await.expect("answered").into_inner();
    assert_eq!((answer.failures[0].reason.as_str(), answer.aliases.len()), ("TOKEN_AHEAD", 0));

    // The copy's clock reaches the token's seq with another nonce: the write is lost.
    reader.update(PROJECT, "bob", "erin", version).await.expect("updated");
    let resolved = reader.resolve_as_of(PROJECT, "bob", &token).await.expect("resolved");
    assert_eq!(resolved.canonical_id, "erin");
}
