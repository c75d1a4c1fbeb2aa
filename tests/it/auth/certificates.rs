//! Principals that are named by the URI of their certificate.

use super::people::{Bearer, PrincipalFile, Token, stanza};
use super::{NEVER, start};
use crate::tls::authority::{Authority, KeyFolder};
use crate::tls::clients::TlsClient;
use aka_test_support::{Aka, assert_refused, create_request, resolve_request};
use aka_wire::pb::alias_admin_client::AliasAdminClient;
use aka_wire::pb::resolver_client::ResolverClient;
use tonic::{Code, Status};

/// A lookup, and then a create, over one connection of this client.
async fn ask(aka: &Aka, client: &TlsClient, bearer: Bearer) -> [Result<(), Status>; 2] {
    let channel = client.channel(aka.grpc).await.expect("a connection");
    let mut lookups = ResolverClient::with_interceptor(channel.clone(), bearer.clone());
    let mut writes = AliasAdminClient::with_interceptor(channel, bearer);
    let resolved = lookups.resolve(resolve_request(7, "bob")).await;
    let created = writes.create_alias(create_request(7, "bob", "alice")).await;
    [resolved.map(drop), created.map(drop)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_proves_who_it_names() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let keys = KeyFolder::new(&servers.server(), &clients.pem);
    let token = Token::new().await;
    let named = |name: &str, role: &str, uri: &str| {
        stanza(name, role, "[7]", &format!("spiffe = [\"{uri}\"]"))
    };
    let stanzas = named("reader", "reader", "spiffe://aka/reader")
        + &named("writer", "writer", "spiffe://aka/writer")
        + &named("cn", "admin", "spiffe://aka/common-name")
        + &token.stanza("token", "writer", "[7]");
    let (cert, key, ca) = (keys.path("cert"), keys.path("key"), keys.path("ca"));
    let tls = ["--tls-cert", &cert, "--tls-key", &key, "--tls-client-ca", &ca];
    let flags = [&tls[..], &["--tls-client-auth", "optional"]].concat();
    let (_database, aka) = start(&PrincipalFile::new(&stanzas), &flags, &[NEVER]).await;
    let client = |uri: &str| TlsClient::with_certificate(&servers, &clients.client(uri));
    let is = |answer: Result<(), Status>, code, reason| {
        assert_refused(&answer.expect_err(reason), code, reason);
    };

    let [resolved, created] = ask(&aka, &client("spiffe://aka/writer"), Bearer::none()).await;
    resolved.expect("a writer may");
    created.expect("a writer may");
    let [resolved, created] = ask(&aka, &client("spiffe://aka/reader"), Bearer::none()).await;
    resolved.expect("a reader may");
    is(created, Code::PermissionDenied, "ROLE_REQUIRED");
    for answer in ask(&aka, &client("spiffe://aka/unknown"), Bearer::none()).await {
        is(answer, Code::Unauthenticated, "CREDENTIALS_INVALID");
    }
    // No certificate, and one whose common name is that of an admin, but which names no URI.
    for client in
        [TlsClient::new(&servers), TlsClient::with_certificate(&servers, &clients.server())]
    {
        for answer in ask(&aka, &client, Bearer::none()).await {
            is(answer, Code::Unauthenticated, "CREDENTIALS_REQUIRED");
        }
    }
    // A token comes before the certificate, for better and for worse.
    for answer in ask(&aka, &client("spiffe://aka/reader"), Bearer::of(&token.text)).await {
        answer.expect("the token is a writer's");
    }
    let stranger = Token::new().await;
    for answer in ask(&aka, &client("spiffe://aka/writer"), Bearer::of(&stranger.text)).await {
        is(answer, Code::Unauthenticated, "CREDENTIALS_INVALID");
    }
}
