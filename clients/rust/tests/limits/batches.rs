//! How ids become batches, and what is bounded.

use crate::fake::Fake;
use crate::{PROJECT, connect, eventually, id, options, right};
use aka_client::{ClientOptions, ResolveError, WhenFull};
use futures::future::join_all;
use std::time::Duration;

#[tokio::test]
async fn a_batch_grows_while_one_is_under_way() {
    let server = Fake::start();
    server.hold(true);
    let client = connect(options([&server])).await;
    let first = tokio::spawn(client.resolve(PROJECT, "first").into_future());
    // Without a wait: nothing else is asked.
    eventually("the first id is sent", || server.calls().len() == 1).await;
    let others = join_all((0..100).map(|n| client.resolve(PROJECT, id(n)).into_future()));
    let others = tokio::spawn(others);
    eventually("the others are sent", || server.calls().len() == 2).await;
    server.hold(false);
    assert_eq!(first.await.expect("no panic"), Ok(right("first")));
    for (n, answer) in others.await.expect("no panic").into_iter().enumerate() {
        assert_eq!(answer, Ok(right(&id(n))));
    }
    let sizes: Vec<usize> = server.calls().iter().map(|call| call.ids.len()).collect();
    assert_eq!(sizes, [1, 100]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_and_calls_are_bounded() {
    let server = Fake::start();
    let bounded = ClientOptions { max_batch: 16, max_in_flight: 2, ..options([&server]) };
    let client = connect(bounded).await;
    server.hold(true);
    let asked: Vec<_> =
        (0..2_000).map(|n| tokio::spawn(client.resolve(PROJECT, id(n)).into_future())).collect();
    eventually("two calls are under way", || server.calls().len() == 2).await;
    server.hold(false);
    for (n, answer) in join_all(asked).await.into_iter().enumerate() {
        assert_eq!(answer.expect("no panic"), Ok(right(&id(n))));
    }
    let calls = server.calls();
    assert!(calls.iter().all(|call| call.ids.len() <= 16));
    assert_eq!(server.most_under_way(), 2);
    let mut ids: Vec<&String> = calls.iter().flat_map(|call| &call.ids).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((ids.len(), client.counts().ids), (2_000, 2_000), "each id is sent once");
}

#[tokio::test]
async fn a_full_queue_is_an_error_at_once() {
    let server = Fake::start();
    server.hold(true);
    let bounded = ClientOptions { max_queue: 10, max_in_flight: 1, ..options([&server]) };
    let client = connect(bounded).await;
    let first = tokio::spawn(client.resolve(PROJECT, "first").into_future());
    eventually("the first id is sent", || server.calls().len() == 1).await;
    let waiting: Vec<_> =
        (0..10).map(|n| tokio::spawn(client.resolve(PROJECT, id(n)).into_future())).collect();
    tokio::task::yield_now().await;
    assert_eq!(client.resolve(PROJECT, "one-more").await, Err(ResolveError::QueueFull));
    assert_eq!(client.counts().queue_full, 1);
    server.hold(false);
    assert_eq!(first.await.expect("no panic"), Ok(right("first")));
    for (n, answer) in join_all(waiting).await.into_iter().enumerate() {
        assert_eq!(answer.expect("no panic"), Ok(right(&id(n))));
    }
    // There is room again.
    assert_eq!(client.resolve(PROJECT, "a-late").await, Ok(right("a-late")));
}

#[tokio::test]
async fn a_call_may_choose_to_wait_for_room() {
    let server = Fake::start();
    server.hold(true);
    let bounded = ClientOptions {
        max_queue: 1,
        max_in_flight: 1,
        when_full: WhenFull::Wait,
        ..options([&server])
    };
    let client = connect(bounded).await;
    let asked: Vec<_> =
        (0..20).map(|n| tokio::spawn(client.resolve(PROJECT, id(n)).into_future())).collect();
    eventually("one is sent", || server.calls().len() == 1).await;
    server.hold(false);
    for (n, answer) in join_all(asked).await.into_iter().enumerate() {
        assert_eq!(answer.expect("no panic"), Ok(right(&id(n))));
    }
}

#[tokio::test]
async fn a_batch_lingers_if_it_is_told_to() {
    let server = Fake::start();
    let lingering =
        ClientOptions { linger: Duration::from_secs(20), max_batch: 3, ..options([&server]) };
    let client = connect(lingering).await;
    let first = tokio::spawn(client.resolve(PROJECT, "n1").into_future());
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(server.calls().len(), 0);
    // A full batch does not.
    let others = join_all(["n2", "n3"].map(|id| client.resolve(PROJECT, id).into_future())).await;
    assert_eq!(others, [Ok(right("n2")), Ok(right("n3"))]);
    assert_eq!(first.await.expect("no panic"), Ok(right("n1")));
    assert_eq!(server.calls().len(), 1);
}

#[tokio::test]
async fn ids_of_other_projects_and_tokens_are_batches_of_their_own() {
    let server = Fake::start();
    let client = connect(options([&server])).await;
    let plain = client.resolve(PROJECT, "a1").into_future();
    let with_token = client.resolve(PROJECT, "a2").token("t").into_future();
    let of_other = client.resolve(PROJECT + 1, "a3").into_future();
    let answers = join_all([plain, with_token, of_other]).await;
    assert_eq!(answers, ["a1", "a2", "a3"].map(|id| Ok(right(id))));
    let mut calls: Vec<_> = server.calls().into_iter().map(|call| (call.ids, call.token)).collect();
    calls.sort_unstable();
    let one = |id: &str, token: &str| (vec![id.to_owned()], token.to_owned());
    assert_eq!(calls, [one("a1", ""), one("a2", "t"), one("a3", "")]);
}

#[tokio::test]
async fn close_drains() {
    let server = Fake::start();
    server.hold(true);
    let client = connect(options([&server])).await;
    let asked: Vec<_> =
        (0..50).map(|n| tokio::spawn(client.resolve(PROJECT, id(n)).into_future())).collect();
    eventually("something is sent", || !server.calls().is_empty()).await;
    let closing = tokio::spawn({
        let client = client.clone();
        async move { client.close().await }
    });
    tokio::task::yield_now().await;
    assert_eq!(client.resolve(PROJECT, "late").await, Err(ResolveError::Closed));
    assert!(!closing.is_finished());
    server.hold(false);
    closing.await.expect("no panic");
    for (n, answer) in join_all(asked).await.into_iter().enumerate() {
        assert_eq!(answer.expect("no panic"), Ok(right(&id(n))));
    }
}
