//! Calls as gRPC clients make them.

use aka_test_support::{
    Aka, Backend, PROJECT, assert_refused, batch_request, bytes, create_request, resolve_request,
    start,
};
use aka_wire::Method;
use aka_wire::pb::{self, alias_admin_client::AliasAdminClient, resolver_client::ResolverClient};
use bytes::{Bytes, BytesMut};
use flate2::Compression;
use flate2::read::GzEncoder;
use http::{HeaderMap, Request};
use prost::Message;
use prost_types::FileDescriptorProto;
use std::io::Read;
use std::time::Duration;
use tokio::net::TcpStream;
use tonic::codec::CompressionEncoding::Gzip;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::{v1, v1alpha};

on_backends!(a_deadline_that_has_passed_is_said: sqlite mysql_3);
on_backends!(gzip_is_read_by_every_method: sqlite);
on_backends!(bad_compression_is_refused: sqlite);
on_backends!(a_bomb_costs_no_memory: sqlite);
on_backends!(reflection_knows_the_details_of_errors: sqlite);

/// As long as anything may take before the server is said not to answer.
const NEVER: Duration = Duration::from_secs(20);

/// What each method of the admin service answers to its message in time.
fn admin_calls(number: usize) -> [(Method, Vec<u8>, Code); 7] {
    let alias = format!("id-{number}");
    let create = create_request(PROJECT, &alias, format!("of-{number}"));
    let missing = bytes("missing");
    [
        (Method::CreateAlias, create.encode_to_vec(), Code::Ok),
        (
            Method::CreateAlias,
            pb::CreateAliasRequest { dry_run: true, ..create_request(PROJECT, "dry", "run") }
                .encode_to_vec(),
            Code::Ok,
        ),
        (
            Method::BatchCreateAliases,
            pb::BatchCreateAliasesRequest {
                requests: vec![create_request(PROJECT, format!("b-{alias}"), "batch"), create],
            }
            .encode_to_vec(),
            Code::Ok,
        ),
        (
            Method::UpdateAlias,
            pb::UpdateAliasRequest {
                project_id: PROJECT,
                alias_id: missing.clone(),
                canonical_id: bytes("x"),
                expected_version: 1,
            }
            .encode_to_vec(),
            Code::NotFound,
        ),
        (
            Method::DeleteAlias,
            pb::DeleteAliasRequest {
                project_id: PROJECT,
                alias_id: missing.clone(),
                expected_version: 0,
            }
            .encode_to_vec(),
            Code::NotFound,
        ),
        (
            Method::GetAlias,
            pb::GetAliasRequest { project_id: PROJECT, alias_id: missing }.encode_to_vec(),
            Code::NotFound,
        ),
        (
            Method::ListAliases,
            pb::ListAliasesRequest {
                project_id: PROJECT,
                canonical_id: bytes("x"),
                ..Default::default()
            }
            .encode_to_vec(),
            Code::Ok,
        ),
    ]
}

/// The client's time is over before, while and after the server works.
async fn a_deadline_that_has_passed_is_said(backend: Backend) {
    let (_database, aka) = start(backend).await;
    let mut calls = connect(&aka).await;
    for number in 0..60 {
        // Half a nanosecond from now, and up to 3 ms from now.
        let timeout = if number % 6 == 5 { "1n".to_owned() } else { format!("{}u", number * 50) };
        for (method, message, in_time) in admin_calls(number) {
            let message = frame(0, &message);
            let answer =
                call(&mut calls, method.path(), &[("grpc-timeout", &timeout)], &message).await;
            let status = answer.status();
            let code = status.code();
            assert!(code == in_time || code == Code::DeadlineExceeded, "{method:?}: {status:?}");
            if timeout == "1n" {
                assert_refused(&status, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
            }
            if method == Method::BatchCreateAliases && code == Code::Ok {
                let answer = pb::BatchCreateAliasesResponse::decode(answer.body.slice(5..));
                for failure in answer.expect("an answer").results.into_iter().map(|r| r.failure) {
                    let reason = failure.map(|failure| failure.reason);
                    assert!(reason.is_none_or(|reason| reason == "DEADLINE_EXCEEDED"));
                }
            }
        }
    }
    aka.create(PROJECT, "bob", "alice").await.expect("others go on");
}

async fn gzip_is_read_by_every_method(backend: Backend) {
    let (_database, aka) = start(backend).await;
    let long = "a-long-id-".repeat(20);
    let mut resolver = ResolverClient::new(aka.channel()).send_compressed(Gzip);
    let mut admin = AliasAdminClient::new(aka.channel()).send_compressed(Gzip);

    let created = admin.create_alias(create_request(PROJECT, &long, "alice")).await;
    let version = created.expect("created").into_inner().alias.expect("an alias").version;
    let requests = (0..1_000).map(|n| create_request(PROJECT, format!("id-{n}"), "somebody"));
    let requests = requests.take(400).collect();
    let batch = admin.batch_create_aliases(pb::BatchCreateAliasesRequest { requests }).await;
    assert!(batch.expect("a batch").into_inner().results.iter().all(|r| r.response.is_some()));

    let resolved = resolver.resolve(resolve_request(PROJECT, &long)).await.expect("resolved");
    assert_eq!(resolved.into_inner().canonical_id, "alice");
    let ids: Vec<_> = (0..1_000).map(|n| format!("id-{n}")).collect();
    let answer = resolver.batch_resolve(batch_request(PROJECT, &ids)).await.expect("resolved");
    assert_eq!(answer.into_inner().aliases.len(), 400);
    let batches = ids.chunks(100).map(|ids| batch_request(PROJECT, ids)).collect::<Vec<_>>();
    let stream = resolver.stream_resolve(tokio_stream::iter(batches)).await.expect("a stream");
    let (mut stream, mut found) = (stream.into_inner(), Vec::new());
    while let Some(answer) = stream.message().await.expect("answered") {
        found.push(answer.aliases.len());
    }
    assert_eq!(found, [100, 100, 100, 100, 0, 0, 0, 0, 0, 0]);

    let (project_id, alias_id) = (PROJECT, bytes(&long));
    let get = pb::GetAliasRequest { project_id, alias_id: alias_id.clone() };
    assert_eq!(admin.get_alias(get).await.expect("shown").into_inner().canonical_id, "alice");
    let (canonical_id, expected_version) = (bytes("eve"), version);
    let alias_id_2 = alias_id.clone();
    let update = pb::UpdateAliasRequest { project_id, alias_id, canonical_id, expected_version };
    admin.update_alias(update).await.expect("updated");
    let canonical_id = bytes("eve");
    let list = pb::ListAliasesRequest { project_id, canonical_id, ..Default::default() };
    assert_eq!(admin.list_aliases(list).await.expect("a page").into_inner().aliases.len(), 1);
    let delete = pb::DeleteAliasRequest { project_id, alias_id: alias_id_2, expected_version: 0 };
    admin.delete_alias(delete).await.expect("deleted");

    let mut health = HealthClient::new(aka.channel()).send_compressed(Gzip);
    health.check(HealthCheckRequest { service: String::new() }).await.expect("a status");
    let client = v1::server_reflection_client::ServerReflectionClient::new(aka.channel());
    let mut client = client.send_compressed(Gzip);
    let request = v1::ServerReflectionRequest {
        message_request: Some(v1::server_reflection_request::MessageRequest::ListServices(
            String::new(),
        )),
        ..Default::default()
    };
    let answers = client.server_reflection_info(tokio_stream::iter([request])).await;
    let mut answers = answers.expect("a stream").into_inner();
    answers.message().await.expect("an answer").expect("an answer");
}

/// A method of each way that messages are read: by the lookups, and by tonic.
const METHODS: [Method; 5] = [
    Method::Resolve,
    Method::BatchResolve,
    Method::StreamResolve,
    Method::GetAlias,
    Method::HealthCheck,
];

async fn bad_compression_is_refused(backend: Backend) {
    let (_database, aka) = start(backend).await;
    let mut calls = connect(&aka).await;
    let message = resolve_request(PROJECT, "bob").encode_to_vec();
    let packed = gzip(&message);
    let mut damaged = packed.clone();
    let sum = packed.len() - 8;
    damaged[sum] ^= 1;
    for method in METHODS {
        let path = method.path();
        println!("{path}");
        for bad in [&damaged[..], &packed[..packed.len() - 1], b"", b"no gzip at all"] {
            let gzip = [("grpc-encoding", "gzip")];
            let refused = call(&mut calls, path, &gzip, &frame(1, bad)).await.status();
            assert_refused(&refused, Code::InvalidArgument, "MALFORMED_MESSAGE");
        }
        // Neither compressed nor not.
        for headers in [&[("grpc-encoding", "gzip")][..], &[]] {
            let refused = call(&mut calls, path, headers, &frame(2, &packed)).await.status();
            assert_refused(&refused, Code::InvalidArgument, "MALFORMED_MESSAGE");
        }
        // gRPC's specification: the server says what it reads.
        let snappy = [("grpc-encoding", "snappy")];
        let answer = call(&mut calls, path, &snappy, &frame(1, &packed)).await;
        assert_refused(&answer.status(), Code::Unimplemented, "UNIMPLEMENTED");
        let accepted = answer.trailers["grpc-accept-encoding"].to_str().expect("text");
        assert_eq!(accepted, "gzip,identity");
        // The same: a mark without an encoding.
        for headers in [&[("grpc-encoding", "identity")][..], &[]] {
            let refused = call(&mut calls, path, headers, &frame(1, &packed)).await.status();
            assert_refused(&refused, Code::Internal, "MALFORMED_MESSAGE");
        }
        // A message of such a call need not be compressed.
        let gzip = [("grpc-encoding", "gzip")];
        let plain = call(&mut calls, path, &gzip, &frame(0, &message)).await.status();
        let code = if method == Method::GetAlias { Code::NotFound } else { Code::Ok };
        let code = if method == Method::HealthCheck { plain.code() } else { code };
        assert_eq!(plain.code(), code, "{path}: {plain:?}");
    }
}

async fn a_bomb_costs_no_memory(backend: Backend) {
    let (_database, aka) = start(backend).await;
    let mut calls = connect(&aka).await;
    // One that inflates to a little more than a message may have, and one to far more.
    let bombs = [gzip(&vec![0; (4 << 20) + 1]), gzip(&vec![0; 96 << 20])];
    let peak = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", aka.pid()));
        let status = status.expect("Linux says");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") >> 10
    };
    let before = peak();
    for method in METHODS {
        for bomb in &bombs {
            let headers = [("grpc-encoding", "gzip")];
            let refused = call(&mut calls, method.path(), &headers, &frame(1, bomb)).await;
            assert_refused(&refused.status(), Code::InvalidArgument, "MESSAGE_TOO_LARGE");
        }
    }
    let grown = peak() - before;
    assert!(grown < 48, "{grown} MiB more than {before}");
    // A lookup of one id takes less.
    let small = gzip(&vec![0; (64 << 10) + 1]);
    let headers = [("grpc-encoding", "gzip")];
    let refused = call(&mut calls, Method::Resolve.path(), &headers, &frame(1, &small)).await;
    assert_refused(&refused.status(), Code::InvalidArgument, "MESSAGE_TOO_LARGE");
}

/// What a tool does that shows an error: it asks for the file of the type, and for all that the file
/// imports.
async fn reflection_knows_the_details_of_errors(backend: Backend) {
    let (_database, aka) = start(backend).await;
    for name in ["ErrorInfo", "BadRequest", "RetryInfo", "Status"] {
        let file = reflect(&aka, Asked::Symbol(format!("google.rpc.{name}"))).await;
        assert_eq!(file.package(), "google.rpc");
        assert!(file.message_type.iter().any(|message| message.name() == name), "{file:?}");
        for import in file.dependency {
            assert_eq!(reflect(&aka, Asked::File(import.clone())).await.name(), import);
        }
    }
}

enum Asked {
    Symbol(String),
    File(String),
}

/// The one file that both versions of reflection answer with.
async fn reflect(aka: &Aka, asked: Asked) -> FileDescriptorProto {
    macro_rules! ask {
        ($version:ident) => {{
            use $version::server_reflection_request::MessageRequest::*;
            use $version::server_reflection_response::MessageResponse::*;
            let message_request = Some(match &asked {
                Asked::Symbol(symbol) => FileContainingSymbol(symbol.clone()),
                Asked::File(name) => FileByFilename(name.clone()),
            });
            let request =
                $version::ServerReflectionRequest { message_request, ..Default::default() };
            let mut client =
                $version::server_reflection_client::ServerReflectionClient::new(aka.channel());
            let answers = client.server_reflection_info(tokio_stream::iter([request])).await;
            let answer = answers.expect("a stream").into_inner().message().await;
            match answer.expect("an answer").expect("an answer").message_response {
                Some(FileDescriptorResponse(files)) => files.file_descriptor_proto[0].clone(),
                other => panic!("{other:?}"),
            }
        }};
    }
    let file = ask!(v1);
    assert_eq!(file, ask!(v1alpha));
    FileDescriptorProto::decode(&*file).expect("a descriptor")
}

struct Answer {
    body: Bytes,
    /// Or the headers, where there is nothing else.
    trailers: HeaderMap,
}

impl Answer {
    fn status(&self) -> Status {
        Status::from_header_map(&self.trailers).expect("a status")
    }
}

fn gzip(message: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    GzEncoder::new(message, Compression::default()).read_to_end(&mut packed).expect("packed");
    packed
}

fn frame(flag: u8, message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).expect("short").to_be_bytes();
    [&[flag][..], &length, message].concat().into()
}

async fn connect(aka: &Aka) -> h2::client::SendRequest<Bytes> {
    let stream = TcpStream::connect(aka.grpc).await.expect("the server listens");
    let (calls, connection) = h2::client::handshake(stream).await.expect("opened");
    tokio::spawn(connection);
    calls.ready().await.expect("opened")
}

/// A call with these headers, and this body.
async fn call(
    calls: &mut h2::client::SendRequest<Bytes>,
    path: &str,
    headers: &[(&str, &str)],
    body: &Bytes,
) -> Answer {
    let mut request = Request::post(format!("http://aka{path}"));
    request = request.header("content-type", "application/grpc").header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (response, mut sent) =
        calls.send_request(request.body(()).expect("a request"), false).expect("sent");
    // A server that has refused the call takes no more of it.
    let _ = sent.send_data(body.clone(), true);
    let answer = async {
        let (head, mut body) = response.await.expect("answered").into_parts();
        let mut data = BytesMut::new();
        while let Some(chunk) = body.data().await {
            data.extend_from_slice(&chunk.expect("data"));
        }
        let trailers = body.trailers().await.expect("trailers").unwrap_or(head.headers);
        Answer { body: data.freeze(), trailers }
    };
    tokio::time::timeout(NEVER, answer).await.expect("an answer in time")
}
