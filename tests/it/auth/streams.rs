//! Streams that stay open while principals change. Each message is looked at anew.

use super::people::{Bearer, PrincipalFile, Token, resolver, stanza};
use super::rotation::assert_reloads;
use super::{NEVER, OFTEN, start};
use aka_test_support::{Aka, assert_refused, batch_request, eventually};
use aka_wire::pb::{BatchResolveRequest, BatchResolveResponse};
use rustix::process::Signal;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc::{Sender, channel};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

/// A stream of lookups that stays open.
struct OpenStream {
    requests: Sender<BatchResolveRequest>,
    answers: Streaming<BatchResolveResponse>,
}

impl OpenStream {
    async fn begin(aka: &Aka, token: &Token) -> Self {
        let (requests, received) = channel(1);
        requests.send(batch_request(7, ["first"])).await.expect("there is room");
        let answers =
            resolver(aka, token).stream_resolve(ReceiverStream::new(received)).await.expect("open");
        let mut stream = Self { requests, answers: answers.into_inner() };
        stream.answers.message().await.expect("an answer").expect("an answer");
        stream
    }

    /// Asks for an id of this project.
    async fn ask(&mut self, project: u64) -> Result<(), Status> {
        // If the stream has ended, the answer says why.
        let _ = self.requests.send(batch_request(project, ["next"])).await;
        self.answers.message().await.map(|answer| drop(answer.expect("an answer")))
    }

    /// Asks until it is refused.
    async fn refusal(&mut self, project: u64) -> Status {
        eventually("the stream ends", async || self.ask(project).await.err()).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_token_ends_an_open_stream() {
    let (leaver, other) = (Token::new().await, Token::new().await);
    let stays = other.stanza("stays", "reader", "[7]");
    let file = PrincipalFile::new(&(leaver.stanza("leaves", "reader", "[7]") + &stays));
    let (_database, aka) = start(&file, &[], &[OFTEN]).await;
    let mut stream = OpenStream::begin(&aka, &leaver).await;
    let mut other_stream = OpenStream::begin(&aka, &other).await;
    stream.ask(7).await.expect("it is good");
    file.replace(&stays);
    let refused = stream.refusal(7).await;
    assert_refused(&refused, Code::Unauthenticated, "CREDENTIALS_INVALID");
    other_stream.ask(7).await.expect("nobody else is concerned");
    let refused = resolver(&aka, &leaver).batch_resolve(batch_request(7, ["x"])).await;
    let refused = refused.expect_err("new calls are refused too");
    assert_refused(&refused, Code::Unauthenticated, "CREDENTIALS_INVALID");
}

/// The project of each message counts, and the principal of today.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_project_that_is_taken_away_ends_an_open_stream() {
    let token = Token::new().await;
    let file = PrincipalFile::new(&token.stanza("etl", "writer", "[7, 8]"));
    let (_database, aka) = start(&file, &[], &[OFTEN]).await;
    let mut stream = OpenStream::begin(&aka, &token).await;
    stream.ask(8).await.expect("it is its own");
    file.replace(&token.stanza("etl", "reader", "[7]"));
    let refused = stream.refusal(8).await;
    assert_refused(&refused, Code::PermissionDenied, "PROJECT_FORBIDDEN");
    let mut stream = OpenStream::begin(&aka, &token).await;
    stream.ask(7).await.expect("it is still its own");
    let refused = stream.ask(9).await.expect_err("it never was");
    assert_refused(&refused, Code::PermissionDenied, "PROJECT_FORBIDDEN");
}

/// Nobody looks at the file any more: the clock alone ends it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_after_ends_calls_and_open_streams() {
    let (token, over) = (Token::new().await, Token::new().await);
    let until = |token: &Token, name: &str, not_after: &str| {
        let more = format!("token_sha256 = [\"{}\"]\nnot_after = {not_after}", token.hash);
        stanza(name, "reader", "[7]", &more)
    };
    let file = PrincipalFile::new(&token.stanza("soon", "reader", "[7]"));
    let (_database, aka) = start(&file, &[], &[NEVER]).await;
    let mut stream = OpenStream::begin(&aka, &token).await;
    let soon = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let soon = soon + Duration::from_secs(2);
    let stanzas = until(&token, "soon", &rfc_3339(soon.as_secs()))
        + &until(&over, "over", "2020-01-01T00:00:00Z");
    file.replace(&stanzas);
    aka.signal(Signal::HUP);
    assert_reloads(&aka, "ok", 1.0).await;
    let refused = stream.refusal(7).await;
    assert_refused(&refused, Code::Unauthenticated, "CREDENTIALS_INVALID");
    let ended = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    assert!(ended.as_secs() >= soon.as_secs(), "not before its time");
    // The connection remembers who called last.
    for token in [&token, &over] {
        let refused = resolver(&aka, token).batch_resolve(batch_request(7, ["x"])).await;
        let refused = refused.expect_err("its time is over");
        assert_refused(&refused, Code::Unauthenticated, "CREDENTIALS_INVALID");
    }
    assert_eq!(aka.metric("aka_auth_total", &["result=\"expired\""]).await, 3.0);
}

/// A second since 1970, as TOML writes it.
fn rfc_3339(second: u64) -> String {
    let date = date_of(second / 86_400);
    let (hour, minute, second) = (second / 3600 % 24, second / 60 % 60, second % 60);
    format!("{date}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The date of a day since 1970.
fn date_of(day: u64) -> String {
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let (mut year, mut day) = (1970, day);
    while day >= 365 + u64::from(is_leap(year)) {
        day -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while day >= lengths[month] {
        day -= lengths[month];
        month += 1;
    }
    format!("{year}-{:02}-{:02}", month + 1, day + 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_to_reflection_ends_with_its_admin() {
    let (token, other) = (Token::new().await, Token::new().await);
    let file = PrincipalFile::new(&token.stanza("ops", "admin", "[7]"));
    let (_database, aka) = start(&file, &["--reflection", "admin"], &[OFTEN]).await;
    let bearer = Bearer::of(&token.text);
    let mut client = ServerReflectionClient::with_interceptor(aka.channel(), bearer);
    let request = || ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let (requests, received) = channel(1);
    requests.send(request()).await.expect("there is room");
    let answers = client.server_reflection_info(ReceiverStream::new(received)).await;
    let mut answers = answers.expect("an admin may").into_inner();
    answers.message().await.expect("an answer").expect("an answer");
    file.replace(&other.stanza("other", "admin", "[7]"));
    // The library of reflection ends the stream, and does not say why.
    let ended = eventually("the stream ends", async || {
        let _ = requests.send(request()).await;
        (!matches!(answers.message().await, Ok(Some(_)))).then_some(())
    });
    ended.await;
    let again = client.server_reflection_info(tokio_stream::iter([request()])).await;
    let refused = again.expect_err("nobody knows the token");
    assert_refused(&refused, Code::Unauthenticated, "CREDENTIALS_INVALID");
}
