//! What an answer means, and what is remembered of it.

use crate::fake::Fake;
use crate::{PROJECT, connect, id, options, right};
use aka_client::{ClientOptions, ResolveError, Resolved};
use aka_wire::pb;
use bytes::Bytes;
use std::time::{Duration, Instant};
use tonic::Code;

#[tokio::test]
async fn what_can_be_no_alias_is_echoed_without_a_call() {
    let server = Fake::start();
    let client = connect(options([&server])).await;
    for id in [&b""[..], b"a\xff", &[b'a'; 256]] {
        let echoed = client.resolve(PROJECT, id.to_vec()).await.expect("an answer");
        let is = Resolved { canonical: id.to_vec().into(), is_alias: false, degraded: false };
        assert_eq!(echoed, is);
    }
    assert!(server.calls().is_empty());
    let longest = "a".repeat(255);
    assert_eq!(client.resolve(PROJECT, longest.clone()).await, Ok(right(&longest)));
}

#[tokio::test]
async fn many_ids_are_answered_in_order() {
    let server = Fake::start();
    let small = ClientOptions { max_batch: 10, max_queue: 35, ..options([&server]) };
    let client = connect(small).await;
    let mut ids: Vec<Bytes> = (0..1_000).map(|n| id(n).into()).collect();
    ids[500] = Bytes::from_static(b"\xff");
    let answers = client.resolve_all(PROJECT, ids, "").await;
    assert_eq!(answers.len(), 1_000);
    for (n, answer) in answers.into_iter().enumerate() {
        let answer = answer.expect("an answer");
        match n {
            500 => assert_eq!(answer.canonical, &b"\xff"[..]),
            n => assert_eq!(answer, right(&id(n))),
        }
    }
}

#[tokio::test]
async fn an_answer_for_an_id_that_was_not_asked_for_spoils_all() {
    let server = Fake::start();
    let stray = pb::Resolved { index: 1, canonical_id: "somebody".into() };
    server.reply(Ok(pb::BatchResolveResponse { aliases: vec![stray], ..Default::default() }));
    let client = connect(options([&server])).await;
    let refused = client.resolve(PROJECT, "n1").await.expect_err("it is malformed");
    assert!(matches!(refused, ResolveError::Refused { code: Code::Internal, .. }), "{refused}");
}

#[tokio::test]
async fn a_degraded_answer_says_so_and_is_not_remembered() {
    let server = Fake::start();
    server.reply(Ok(pb::BatchResolveResponse { degraded: true, ..Default::default() }));
    let client = connect(ClientOptions { cache_entries: 100, ..options([&server]) }).await;
    assert!(client.resolve(PROJECT, "n1").await.expect("an answer").degraded);
    assert_eq!(client.resolve(PROJECT, "n1").await, Ok(right("n1")));
}

#[tokio::test]
async fn the_cache_counts_from_the_sending_and_serves_no_token() {
    let server = Fake::start();
    let staleness = Duration::from_millis(300);
    let caching = ClientOptions { cache_entries: 100, staleness, ..options([&server]) };
    let client = connect(caching).await;
    // Held for longer than an answer may be old.
    server.hold(true);
    let slow = tokio::spawn(client.resolve(PROJECT, "a1").into_future());
    tokio::time::sleep(staleness + Duration::from_millis(50)).await;
    server.hold(false);
    assert_eq!(slow.await.expect("no panic"), Ok(right("a1")));
    assert_eq!(client.resolve(PROJECT, "a1").await, Ok(right("a1")));
    assert_eq!(server.calls().len(), 2, "the first answer was too old when it came");

    let client = connect(ClientOptions {
        staleness: Duration::from_secs(600),
        cache_entries: 100,
        ..options([&server])
    })
    .await;
    for _ in 0..3 {
        assert_eq!(client.resolve(PROJECT, "a2").await, Ok(right("a2")));
    }
    assert_eq!((server.calls().len(), client.counts().cache_hits), (3, 2));
    assert_eq!(client.resolve(PROJECT, "a2").token("t").await, Ok(right("a2")));
    assert_eq!(server.calls().len(), 4);
}

#[tokio::test]
async fn the_deadline_is_kept_and_the_id_is_not_passed_off() {
    let server = Fake::start();
    server.hold(true);
    let timeout = Duration::from_millis(200);
    let client = connect(ClientOptions { timeout, ..options([&server]) }).await;
    let began = Instant::now();
    assert_eq!(client.resolve(PROJECT, "a1").await, Err(ResolveError::DeadlineExceeded));
    assert!(began.elapsed() >= timeout);
    assert_eq!(client.counts().unchanged, 0);
    assert_eq!(client.resolve(PROJECT, "a1").or_unchanged().await, "a1");
    assert_eq!(client.counts().unchanged, 1);
}
