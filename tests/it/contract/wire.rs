//! Raw HTTP/2: requests that are not gRPC, and calls that no gRPC library makes.

use aka_test_support::http2::{GOAWAY, PING, PREFACE, RST_STREAM, SETTINGS, frame, headers};
use aka_test_support::{Aka, Backend, PROJECT, assert_refused, eventually, start_with};
use aka_wire::pb::{ResolveRequest, ResolveResponse};
use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, StatusCode};
use prost::Message;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::{Code, Status};

on_backends!(requests_that_no_grpc_library_sends: sqlite);

const RESOLVE: &str = "/aka.v1.Resolver/Resolve";
const LOOKUPS: [&str; 2] = [RESOLVE, "/aka.v1.Resolver/BatchResolve"];

/// The server's own limit for a request.
const LIMIT: [&str; 2] = ["--request-timeout-ms", "300"];

/// After this time the test takes the server for hung.
const NEVER: Duration = Duration::from_secs(20);

async fn requests_that_no_grpc_library_sends(backend: Backend) {
    let (_database, aka) = start_with(backend, &LIMIT).await;
    aka.create(PROJECT, "bob", "alice").await.expect("created");
    other_content_types_are_refused(&aka).await;
    a_lookup_takes_one_message(&aka).await;
    a_missing_message_is_awaited_until_the_deadline(&aka).await;
    cancelled_calls_leave_the_connection_open(&aka).await;
}

async fn other_content_types_are_refused(aka: &Aka) {
    for other in ["", "application/json", "application/grpc-web", "application/grpcx"] {
        for path in [RESOLVE, "/aka.v1.AliasAdmin/GetAlias", "/aka.v1.Resolver/StreamResolve"] {
            let answer = call(aka, path, other, &[&bob()], true).await;
            assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{path}, {other:?}");
            assert_eq!(answer.body, "", "{path}, {other:?}");
        }
    }
    for grpc in ["application/grpc", "application/grpc+proto", "application/grpc;charset=utf-8"] {
        let answer = call(aka, RESOLVE, grpc, &[&bob()], true).await;
        let resolved = ResolveResponse::decode(answer.ok().slice(5..)).expect("an answer");
        assert_eq!(resolved.canonical_id, "alice");
    }
}

async fn a_lookup_takes_one_message(aka: &Aka) {
    let two = [bob(), bob()].concat();
    for path in LOOKUPS {
        for pieces in [&[&two[..]][..], &[&bob(), &bob()], &[]] {
            let refused = call(aka, path, "application/grpc", pieces, true).await.status();
            assert_refused(&refused, Code::InvalidArgument, "MALFORMED_MESSAGE");
        }
    }
}

async fn a_missing_message_is_awaited_until_the_deadline(aka: &Aka) {
    let half = &bob()[..8];
    for path in LOOKUPS {
        for pieces in [&[][..], &[half]] {
            let refused = call(aka, path, "application/grpc", pieces, false).await.status();
            assert_refused(&refused, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
        }
    }
}

/// A client begins calls and cancels them before they could be answered. Its connection must go on,
/// and so must those of others.
async fn cancelled_calls_leave_the_connection_open(aka: &Aka) {
    let calls = || (1..200).step_by(2);
    let begun: Vec<u8> = calls().flat_map(headers).collect();
    let cancel = u32::from(h2::Reason::CANCEL).to_be_bytes();
    let given_up: Vec<u8> =
        calls().flat_map(|stream| frame(RST_STREAM, 0, stream, &cancel)).collect();
    let asked = frame(PING, 0, 0, b"yet here");
    // Sent in one write, so that the server takes no call before all are cancelled.
    let frames = [PREFACE, SETTINGS, &begun, &given_up, &asked].concat();
    let mut stream = TcpStream::connect(aka.grpc).await.expect("the server listens");
    stream.write_all(&frames).await.expect("the server reads");
    let answer = async {
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await.expect("a frame");
            let mut payload = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
            stream.read_exact(&mut payload).await.expect("a frame");
            match head[3] {
                PING => return payload,
                GOAWAY => panic!("the connection is ended: {payload:?}"),
                _ => {}
            }
        }
    };
    let answer = tokio::time::timeout(NEVER, answer).await.expect("an answer in time");
    assert_eq!(answer, b"yet here");
    aka.resolve(PROJECT, "bob").await.expect("others go on");
    drop(stream);
    // One is left: that of the client that has just asked.
    let left = async || (aka.metric("aka_connections", &[]).await == 1.0).then_some(());
    eventually("all other connections are closed", left).await;
}

struct Answer {
    status: StatusCode,
    body: Bytes,
    /// The trailers, or the headers if there are no trailers.
    trailers: HeaderMap,
}

impl Answer {
    fn status(&self) -> Status {
        assert_eq!(self.status, StatusCode::OK);
        Status::from_header_map(&self.trailers).expect("a status")
    }

    #[track_caller]
    fn ok(self) -> Bytes {
        assert_eq!(self.status().code(), Code::Ok);
        self.body
    }
}

/// A framed `ResolveRequest` for "bob".
fn bob() -> Vec<u8> {
    let request =
        ResolveRequest { project_id: PROJECT, distinct_id: "bob".into(), ..Default::default() };
    let message = request.encode_to_vec();
    [&[0, 0, 0, 0, message.len() as u8][..], &message].concat()
}

/// A call with these pieces as its body, each in its own frame.
async fn call(aka: &Aka, path: &str, content_type: &str, pieces: &[&[u8]], end: bool) -> Answer {
    let mut calls = connect(aka).await;
    let request = request(path, content_type);
    let (response, mut body) = calls.send_request(request, false).expect("sent");
    // Sending fails if the server has refused the call already.
    for piece in pieces {
        let _ = body.send_data(Bytes::copy_from_slice(piece), false);
    }
    if end {
        let _ = body.send_data(Bytes::new(), true);
    }
    let answer = async {
        let (head, mut body) = response.await.expect("answered").into_parts();
        let mut data = BytesMut::new();
        while let Some(chunk) = body.data().await {
            data.extend_from_slice(&chunk.expect("data"));
        }
        let trailers = body.trailers().await.expect("trailers").unwrap_or(head.headers);
        Answer { status: head.status, body: data.freeze(), trailers }
    };
    tokio::time::timeout(NEVER, answer).await.expect("an answer in time")
}

fn request(path: &str, content_type: &str) -> Request<()> {
    let request = Request::post(format!("http://aka{path}")).header(CONTENT_TYPE, content_type);
    request.header("te", "trailers").body(()).expect("a request")
}

/// A connection of its own.
async fn connect(aka: &Aka) -> h2::client::SendRequest<Bytes> {
    let stream = TcpStream::connect(aka.grpc).await.expect("the server listens");
    let (calls, connection) = h2::client::handshake(stream).await.expect("opened");
    tokio::spawn(connection);
    calls.ready().await.expect("opened")
}
