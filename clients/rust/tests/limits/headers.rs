//! What goes along with a call.

use crate::fake::Fake;
use crate::{PROJECT, connect, options, right};
use aka_client::ClientOptions;
use std::fs;
use std::time::{Duration, Instant};

#[tokio::test]
async fn the_token_of_a_file_is_sent_and_read_again_when_it_changes() {
    let server = Fake::start();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("token");
    fs::write(&path, "first\n").expect("it can be written");
    let client =
        connect(ClientOptions { token_file: Some(path.clone()), ..options([&server]) }).await;
    let last = || server.calls().last().and_then(|call| call.authorization.clone());
    assert_eq!(client.resolve(PROJECT, "a1").await, Ok(right("a1")));
    assert_eq!(last().as_deref(), Some("Bearer first"));
    fs::write(&path, "the second\n").expect("it can be written");
    let began = Instant::now();
    while last().as_deref() != Some("Bearer the second") {
        assert!(began.elapsed() < crate::PATIENCE, "the file is not read again");
        assert_eq!(client.resolve(PROJECT, "a1").await, Ok(right("a1")));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // While there is none, the last one is used.
    fs::remove_file(&path).expect("it is there");
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(client.resolve(PROJECT, "a1").await, Ok(right("a1")));
    assert_eq!(last().as_deref(), Some("Bearer the second"));
}

#[tokio::test]
async fn the_context_of_a_trace_goes_along() {
    let server = Fake::start();
    let client = connect(options([&server])).await;
    let context = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    assert_eq!(client.resolve(PROJECT, "a1").traceparent(context).await, Ok(right("a1")));
    assert_eq!(client.resolve(PROJECT, "a1").await, Ok(right("a1")));
    let contexts: Vec<_> = server.calls().into_iter().map(|call| call.traceparent).collect();
    assert_eq!(contexts, [Some(context.to_owned()), None]);
    assert!(server.calls().iter().all(|call| call.authorization.is_none()));
}
