//! What is tried again, how often, and when.

use crate::fake::{Fake, Reply};
use crate::{PROJECT, connect, id, options, right};
use aka_client::{ClientOptions, ResolveError};
use aka_wire::pb;
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

fn unavailable() -> Status {
    Status::unavailable("the shard is down")
}

#[tokio::test]
async fn retries_have_a_limit_and_a_budget() {
    let server = Fake::start();
    server.always(Some(unavailable()));
    let client = connect(options([&server])).await;
    for _ in 0..20 {
        let failed = client.resolve(PROJECT, "a1").await.expect_err("it is down");
        assert!(matches!(failed, ResolveError::Unavailable { .. }), "{failed}");
    }
    // Three for each of the first calls, and ten in all.
    let counts = client.counts();
    assert_eq!((counts.calls, counts.retries, counts.failed_calls), (30, 10, 30));
    server.always(None);
    assert_eq!(client.resolve(PROJECT, "a1").await, Ok(right("a1")));
}

#[tokio::test]
async fn a_server_that_asks_for_a_pause_gets_it() {
    let server = Fake::start();
    let pause = Duration::from_millis(700);
    let details = ErrorDetails::with_retry_info(Some(pause));
    for code in [Code::Unavailable, Code::ResourceExhausted] {
        server.reply(Err(Status::with_error_details(code, "not now", details.clone())));
    }
    let client = connect(options([&server])).await;
    assert_eq!(client.resolve(PROJECT, "a1").await, Ok(right("a1")));
    let calls = server.calls();
    assert_eq!(calls.len(), 3);
    for (earlier, later) in calls.iter().zip(&calls[1..]) {
        assert!(later.at.duration_since(earlier.at) >= pause);
    }
}

#[tokio::test]
async fn a_refusal_is_final() {
    let server = Fake::start();
    let client = connect(options([&server])).await;
    let mut details = ErrorDetails::new();
    details.set_error_info("INVALID_PROJECT", "aka", std::collections::HashMap::new());
    let refused = Status::with_error_details(Code::InvalidArgument, "no project", details);
    for (reply, reason) in [
        (refused, "INVALID_PROJECT"),
        (Status::resource_exhausted("shed"), "RESOURCE_EXHAUSTED"),
        (Status::unauthenticated("who are you?"), "UNAUTHENTICATED"),
    ] {
        server.reply(Err(reply));
        let failed = client.resolve(PROJECT, "a1").await.expect_err("it is refused");
        let ResolveError::Refused { reason: given, .. } = &failed else { panic!("{failed}") };
        assert_eq!(&**given, reason);
    }
    assert_eq!((server.calls().len(), client.counts().retries), (3, 0));
}

#[tokio::test]
async fn only_the_ids_that_failed_are_sent_again() {
    let server = Fake::start();
    let failure =
        |index, code: Code| pb::Failure { index, code: code as i32, ..Default::default() };
    let failures = vec![failure(1, Code::Unavailable), failure(2, Code::DeadlineExceeded)];
    let reply: Reply = Ok(pb::BatchResolveResponse { failures, ..Default::default() });
    server.reply(reply);
    let client = connect(options([&server])).await;
    let ids = ["n0", "n1", "n2", "n3"].map(Into::into).to_vec();
    let answers = client.resolve_all(PROJECT, ids, "").await;
    let late = Err(ResolveError::DeadlineExceeded);
    assert_eq!(answers, [Ok(right("n0")), Ok(right("n1")), late, Ok(right("n3"))]);
    let sent: Vec<_> = server.calls().into_iter().map(|call| call.ids).collect();
    assert_eq!(sent[1..], [["n1"]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hedges_answer_for_a_slow_server_and_are_few() {
    let (slow, quick) = (Fake::start(), Fake::start());
    let hedge_after = Some(Duration::from_millis(20));
    let client = connect(ClientOptions { hedge_after, ..options([&slow, &quick]) }).await;
    // Nothing may be hedged before enough was sent.
    for n in 0..100 {
        assert_eq!(client.resolve(PROJECT, id(n)).await, Ok(right(&id(n))));
    }
    slow.hold(true);
    let before = client.counts().hedges;
    while client.counts().hedges == before {
        // Every second call goes to the slow one.
        assert_eq!(client.resolve(PROJECT, "a1").await, Ok(right("a1")));
    }
    let counts = client.counts();
    assert!(counts.hedges * 20 <= counts.ids, "{counts:?}");
}
