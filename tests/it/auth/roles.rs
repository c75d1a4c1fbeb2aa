//! Role × RPC, for each RPC that the descriptors name.

use super::people::{Bearer, PrincipalFile, Token};
use super::{NEVER, start};
use aka_test_support::{Aka, assert_refused};
use aka_wire::pb::DESCRIPTORS;
use http::uri::PathAndQuery;
use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::metadata::MetadataMap;
use tonic::service::Interceptor;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_prost::ProstCodec;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

/// The roles, each of which may do all that the one before it may.
const ROLES: [&str; 3] = ["reader", "writer", "admin"];

/// The least role that may call an RPC. A new RPC needs its line here.
fn least_role(method: &str) -> &'static str {
    match method {
        "Resolve" | "BatchResolve" | "StreamResolve" | "GetAlias" | "ListAliases" => "reader",
        "CreateAlias" | "BatchCreateAliases" | "UpdateAlias" | "DeleteAlias" => "writer",
        other => panic!("{other} has no rule: who may call it?"),
    }
}

/// The RPCs of the contract: path and name.
fn rpcs() -> Vec<(String, String)> {
    let files = FileDescriptorSet::decode(DESCRIPTORS).expect("descriptors").file;
    let ours = files.iter().filter(|file| file.package() == "aka.v1");
    let services = ours.flat_map(|file| &file.service);
    let rpcs = services.flat_map(|service| {
        service.method.iter().map(|method| {
            let path = format!("/aka.v1.{}/{}", service.name(), method.name());
            (path, method.name().to_owned())
        })
    });
    rpcs.collect()
}

/// Calls with an empty message. Every RPC refuses that, but a batch of no creates.
async fn call(aka: &Aka, path: &str, bearer: Bearer) -> Result<(), Status> {
    let mut bearer = bearer;
    call_with(aka, path, |headers| {
        let request = bearer.call(Request::new(())).expect("it refuses nothing");
        *headers = request.metadata().clone();
    })
    .await
}

/// The same with headers of the test's own.
async fn call_with(
    aka: &Aka,
    path: &str,
    set: impl FnOnce(&mut MetadataMap),
) -> Result<(), Status> {
    let mut client = tonic::client::Grpc::new(aka.channel());
    client.ready().await.expect("a connection");
    let path: PathAndQuery = path.parse().expect("a path");
    let codec = ProstCodec::<(), ()>::default();
    let mut request = Request::new(tokio_stream::iter([()]));
    set(request.metadata_mut());
    let mut answers = client.streaming(request, path, codec).await?.into_inner();
    while answers.message().await?.is_some() {}
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_may_call_what_it_may_and_nothing_else() {
    let tokens = [Token::new().await, Token::new().await, Token::new().await];
    let stanzas: Vec<String> =
        ROLES.iter().zip(&tokens).map(|(role, token)| token.stanza(role, role, "\"*\"")).collect();
    let (_database, aka) = start(&PrincipalFile::new(&stanzas.concat()), &[], &[NEVER]).await;
    let rpcs = rpcs();
    assert_eq!(rpcs.len(), 9, "{rpcs:?}");
    for (path, name) in &rpcs {
        let least = ROLES.iter().position(|role| *role == least_role(name)).expect("a role");
        for (rank, token) in tokens.iter().enumerate() {
            let answer = call(&aka, path, Bearer::of(&token.text)).await;
            if rank < least {
                let refused = answer.expect_err(path);
                let details = assert_refused(&refused, Code::PermissionDenied, "ROLE_REQUIRED");
                let needed = &details.error_info().expect("a reason").metadata["role"];
                assert_eq!(needed, least_role(name), "{path}");
            } else if let Err(status) = answer {
                // It came as far as the message, which is empty.
                assert_refused(&status, Code::InvalidArgument, "INVALID_PROJECT");
            }
        }
        let stranger = Token::new().await;
        let damaged = format!("{}x", &tokens[2].text[..52]);
        assert_refused(
            &call(&aka, path, Bearer::none()).await.expect_err(path),
            Code::Unauthenticated,
            "CREDENTIALS_REQUIRED",
        );
        let twice = call_with(&aka, path, |headers| {
            for token in [&tokens[2], &tokens[2]] {
                headers.append(
                    "authorization",
                    format!("Bearer {}", token.text).parse().expect("ASCII"),
                );
            }
        });
        let refused = twice.await.expect_err("two headers");
        assert_refused(&refused, Code::Unauthenticated, "CREDENTIALS_INVALID");
        let in_small = call_with(&aka, path, |headers| {
            let header = format!("bearer {}", tokens[2].text);
            headers.insert("authorization", header.parse().expect("ASCII"));
        });
        if let Err(status) = in_small.await {
            assert_refused(&status, Code::InvalidArgument, "INVALID_PROJECT");
        }
        for wrong in [&*stranger.text, &damaged, "", "null", &tokens[2].hash] {
            let refused = call(&aka, path, Bearer::of(wrong)).await.expect_err(path);
            assert_refused(&refused, Code::Unauthenticated, "CREDENTIALS_INVALID");
        }
    }
    for (result, count) in [("no_credentials", 9.0), ("bad_credentials", 54.0), ("expired", 0.0)] {
        let label = format!("result=\"{result}\"");
        assert_eq!(aka.metric("aka_auth_total", &[&label]).await, count, "{result}");
    }
    for token in &tokens {
        assert_eq!(aka.logged(&token.text).len(), 0, "a token is never logged");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_needs_no_credentials() {
    let token = Token::new().await;
    let file = PrincipalFile::new(&token.stanza("ops", "admin", "\"*\""));
    let (_database, aka) = start(&file, &[], &[NEVER]).await;
    let mut health = HealthClient::new(aka.channel());
    health.check(HealthCheckRequest::default()).await.expect("it is open");
    let watch = health.watch(HealthCheckRequest::default()).await.expect("it is open");
    watch.into_inner().message().await.expect("it is open").expect("a status");
    let missing = call(&aka, "/aka.v1.Resolver/Guess", Bearer::none()).await.expect_err("missing");
    assert_refused(&missing, Code::Unimplemented, "UNIMPLEMENTED");
}

/// Asks for the names of the services.
async fn reflect(aka: &Aka, bearer: Bearer) -> Result<(), Status> {
    let mut client = ServerReflectionClient::with_interceptor(aka.channel(), bearer);
    let message_request = Some(MessageRequest::ListServices(String::new()));
    let request = ServerReflectionRequest { host: String::new(), message_request };
    let answers = client.server_reflection_info(tokio_stream::iter([request])).await?;
    answers.into_inner().message().await?.expect("an answer");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reflection_is_open_or_for_admins_or_off() {
    let (admin, writer) = (Token::new().await, Token::new().await);
    let stanzas = admin.stanza("ops", "admin", "[1]") + &writer.stanza("etl", "writer", "[1]");
    let file = PrincipalFile::new(&stanzas);
    let (_database, aka) = start(&file, &[], &[NEVER]).await;
    reflect(&aka, Bearer::none()).await.expect("it is open");
    let (_database, aka) = start(&file, &["--reflection", "admin"], &[NEVER]).await;
    reflect(&aka, Bearer::of(&admin.text)).await.expect("an admin may");
    let refused = reflect(&aka, Bearer::of(&writer.text)).await.expect_err("a writer may not");
    assert_refused(&refused, Code::PermissionDenied, "ROLE_REQUIRED");
    let refused = reflect(&aka, Bearer::none()).await.expect_err("a stranger may not");
    assert_refused(&refused, Code::Unauthenticated, "CREDENTIALS_REQUIRED");
    let (_database, aka) = start(&file, &["--reflection", "off"], &[NEVER]).await;
    let refused = reflect(&aka, Bearer::of(&admin.text)).await.expect_err("there is none");
    assert_refused(&refused, Code::Unimplemented, "UNIMPLEMENTED");
}
