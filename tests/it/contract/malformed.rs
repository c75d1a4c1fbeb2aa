//! Bytes that are not a message, messages that are too large, methods that do not exist (P14).

use aka_test_support::{Aka, Backend, PROJECT, assert_refused, start};
use aka_wire::pb::{BatchResolveRequest, ResolveRequest, ResolveResponse};
use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use prost::Message;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

on_backends!(hostile_bytes_are_refused: sqlite mysql_3);

const UNARY: [&str; 8] = [
    "/aka.v1.Resolver/Resolve",
    "/aka.v1.Resolver/BatchResolve",
    "/aka.v1.AliasAdmin/CreateAlias",
    "/aka.v1.AliasAdmin/BatchCreateAliases",
    "/aka.v1.AliasAdmin/GetAlias",
    "/aka.v1.AliasAdmin/UpdateAlias",
    "/aka.v1.AliasAdmin/DeleteAlias",
    "/aka.v1.AliasAdmin/ListAliases",
];
const RESOLVE: &str = UNARY[0];
const BATCH_RESOLVE: &str = UNARY[1];
const STREAM_RESOLVE: &str = "/aka.v1.Resolver/StreamResolve";

async fn hostile_bytes_are_refused(backend: Backend) {
    let (_database, aka) = start(backend).await;
    aka.create(PROJECT, "bob", "alice").await.expect("created");
    garbage_is_the_clients_fault(&aka).await;
    large_messages_are_refused(&aka).await;
    unknown_methods_are_unimplemented(&aka).await;
    unknown_fields_are_no_fault(&aka).await;
    healthy(&aka).await;
}

async fn garbage_is_the_clients_fault(aka: &Aka) {
    let garbage: [&[u8]; 5] = [
        // No tags at all; a length beyond the end; the wrong type for a number; a group that is
        // never closed; a number of eleven bytes.
        &[0xff; 16],
        &[0x12, 0x05, b'a'],
        &[0x0a, 0x01, 0x00],
        &[0x0b, 0x0b, 0x0b],
        &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    ];
    for method in UNARY {
        for bytes in garbage {
            let refused = call(aka, method, bytes).await.expect_err(method);
            assert_refused(&refused, Code::InvalidArgument, "MALFORMED_MESSAGE");
        }
    }
    for bytes in garbage {
        let refused = stream(aka, &[bytes]).await.expect_err("garbage");
        assert_refused(&refused, Code::InvalidArgument, "MALFORMED_MESSAGE");
    }
    // A token is declared as text, and is therefore UTF-8.
    let refused = call(aka, RESOLVE, &[0x08, 1, 0x1a, 1, 0xff]).await.expect_err("not UTF-8");
    assert_refused(&refused, Code::InvalidArgument, "MALFORMED_MESSAGE");
}

async fn large_messages_are_refused(aka: &Aka) {
    let resolve = |length| ResolveRequest {
        project_id: PROJECT,
        distinct_id: vec![b'x'; length].into(),
        consistency_token: String::new(),
    };
    call(aka, RESOLVE, &resolve(60 << 10).encode_to_vec()).await.expect("below 64 KiB");
    let refused = call(aka, RESOLVE, &resolve(65 << 10).encode_to_vec()).await;
    assert_too_large(refused);
    let batch = |length| BatchResolveRequest {
        project_id: PROJECT,
        distinct_ids: vec![vec![b'x'; 1 << 10].into(); length],
        consistency_token: String::new(),
    };
    let (fits, too_large) = (batch(4_000).encode_to_vec(), batch(4_100).encode_to_vec());
    call(aka, BATCH_RESOLVE, &fits).await.expect("below 4 MiB");
    stream(aka, &[&fits]).await.expect("below 4 MiB");
    for method in UNARY {
        assert_too_large(call(aka, method, &too_large).await);
    }
    assert_too_large(stream(aka, &[&too_large]).await);
}

#[track_caller]
fn assert_too_large(answer: Result<Bytes, Status>) {
    let refused = answer.expect_err("too large");
    assert_refused(&refused, Code::InvalidArgument, "MESSAGE_TOO_LARGE");
}

async fn unknown_methods_are_unimplemented(aka: &Aka) {
    for method in ["/aka.v1.Resolver/Guess", "/aka.v1.Nobody/Resolve", "/aka.v2.Resolver/Resolve"] {
        let refused = call(aka, method, &[]).await.expect_err(method);
        assert_refused(&refused, Code::Unimplemented, "UNIMPLEMENTED");
    }
}

async fn unknown_fields_are_no_fault(aka: &Aka) {
    let mut request =
        ResolveRequest { project_id: PROJECT, distinct_id: "bob".into(), ..Default::default() }
            .encode_to_vec();
    // Field 99, a number: from a client of a later version.
    request.extend([0x98, 0x06, 0x01]);
    let answer = call(aka, RESOLVE, &request).await.expect("resolved");
    let answer = ResolveResponse::decode(answer).expect("an answer");
    assert_eq!(answer.canonical_id, "alice");
}

/// Checks that the service still works.
async fn healthy(aka: &Aka) {
    assert_eq!(aka.resolve(PROJECT, "bob").await.expect("resolved").canonical_id, "alice");
    let mut health = HealthClient::new(aka.new_channel());
    for service in ["", "aka.v1.Resolver", "aka.v1.AliasAdmin"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = health.check(request).await.expect("a status").into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service:?}");
    }
}

/// A unary call that sends these bytes as its message.
async fn call(aka: &Aka, method: &'static str, message: &[u8]) -> Result<Bytes, Status> {
    let mut client = tonic::client::Grpc::new(aka.channel());
    client.ready().await.expect("a connection");
    let request = Request::new(Bytes::copy_from_slice(message));
    let answer = client.unary(request, PathAndQuery::from_static(method), RawCodec).await?;
    Ok(answer.into_inner())
}

/// Sends these messages on a stream. Returns the last answer.
async fn stream(aka: &Aka, messages: &[&[u8]]) -> Result<Bytes, Status> {
    let mut client = tonic::client::Grpc::new(aka.channel());
    client.ready().await.expect("a connection");
    let messages: Vec<Bytes> = messages.iter().map(|m| Bytes::copy_from_slice(m)).collect();
    let request = Request::new(tokio_stream::iter(messages));
    let path = PathAndQuery::from_static(STREAM_RESOLVE);
    let mut answers = client.streaming(request, path, RawCodec).await?.into_inner();
    let mut last = None;
    while let Some(answer) = answers.message().await? {
        last = Some(answer);
    }
    Ok(last.expect("an answer"))
}

/// A codec whose messages are plain bytes.
#[derive(Clone, Copy)]
struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = buffer.remaining();
        Ok(Some(buffer.copy_to_bytes(length)))
    }
}
