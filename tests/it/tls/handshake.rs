//! The handshake on the gRPC port: who is let in, and with what others are refused.

use super::authority::{Authority, KeyFolder};
use super::clients::{TlsClient, tls_error};
use super::{start, start_with_env};
use aka_test_support::http2::{PREFACE, SETTINGS};
use aka_test_support::{Aka, PATIENCE, PROJECT, batch_request, create_request, eventually};
use aka_wire::pb::BatchCreateAliasesRequest;
use aka_wire::pb::alias_admin_client::AliasAdminClient;
use aka_wire::pb::resolver_client::ResolverClient;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Instant;
use tokio::io::AsyncReadExt;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{AlertDescription, CertificateError, Error, ProtocolVersion};

/// Waits until so many handshakes have ended so. There may not be more.
async fn assert_handshakes(aka: &Aka, result: &str, count: f64) {
    let label = format!("result=\"{result}\"");
    let counted = async || {
        let now = aka.metric("aka_tls_handshakes_total", &[&label]).await;
        (now >= count).then_some(now)
    };
    assert_eq!(eventually("the handshakes are counted", counted).await, count, "{result}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_services_are_served_within_tls() {
    let authority = Authority::new();
    let (_database, aka) = start(&KeyFolder::new(&authority.server(), ""), &[]).await;
    let channel = TlsClient::new(&authority).channel(aka.grpc).await.expect("a connection");
    let request = |n: u32| create_request(PROJECT, format!("alias-{n:04}"), "a".repeat(255));
    let requests = (0..500).map(request).collect();
    let mut admin = AliasAdminClient::new(channel.clone());
    let created = admin.batch_create_aliases(BatchCreateAliasesRequest { requests }).await;
    assert_eq!(created.expect("created").into_inner().results.len(), 500);
    // The answer is several records of TLS, and more than a socket takes at once.
    let ids: Vec<String> = (0..10_000).map(|n| format!("alias-{:04}", n % 500)).collect();
    let answer = ResolverClient::new(channel).batch_resolve(batch_request(PROJECT, ids)).await;
    let answer = answer.expect("resolved").into_inner();
    assert_eq!((answer.aliases.len(), answer.failures.len()), (10_000, 0));
    assert!(answer.aliases.iter().all(|alias| alias.canonical_id == "a".repeat(255)));
    assert_handshakes(&aka, "ok", 1.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_trusts_another_authority_leaves() {
    let authority = Authority::new();
    let (_database, aka) = start(&KeyFolder::new(&authority.server(), ""), &[]).await;
    let stranger = TlsClient::new(&Authority::new());
    let error = stranger.connect(aka.grpc).await.map(drop).expect_err("it does not trust it");
    let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);
    assert_eq!(tls_error(&error), Some(&unknown));
    assert_handshakes(&aka, "refused_by_client", 1.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_offer_h2_is_refused() {
    let authority = Authority::new();
    let (_database, aka) = start(&KeyFolder::new(&authority.server(), ""), &[]).await;
    for offered in [&[][..], &["http/1.1"], &["h2c", "H2"]] {
        let client = TlsClient::with(&authority, None, &[&TLS13], offered);
        let refusal = client.refusal(aka.grpc).await;
        assert_eq!(refusal, AlertDescription::NoApplicationProtocol, "{offered:?}");
    }
    assert_handshakes(&aka, "no_protocol", 3.0).await;
    let client = TlsClient::with(&authority, None, &[&TLS13], &["http/1.1", "h2"]);
    client.open(aka.grpc).await.expect("h2 is among them");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_1_2_is_refused_unless_it_is_allowed() {
    let authority = Authority::new();
    let files = KeyFolder::new(&authority.server(), "");
    let old = TlsClient::with(&authority, None, &[&TLS12], &["h2"]);
    let (_database, aka) = start(&files, &[]).await;
    assert_eq!(old.refusal(aka.grpc).await, AlertDescription::ProtocolVersion);
    assert_handshakes(&aka, "incompatible", 1.0).await;
    let (_database, aka) = start(&files, &["--tls-min-version", "1.2"]).await;
    let stream = old.open(aka.grpc).await.expect("it is allowed");
    assert_eq!(stream.get_ref().1.protocol_version(), Some(ProtocolVersion::TLSv1_2));
    let stream = TlsClient::new(&authority).open(aka.grpc).await.expect("1.3 is too");
    assert_eq!(stream.get_ref().1.protocol_version(), Some(ProtocolVersion::TLSv1_3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_required_client_certificate_must_be_there_and_good() {
    let (servers, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let files = KeyFolder::new(&servers.server(), &clients.pem);
    let ca = files.path("ca");
    // Required is what it means to name authorities.
    for flags in
        [&["--tls-client-ca", &ca][..], &["--tls-client-ca", &ca, "--tls-client-auth", "required"]]
    {
        let flags = [flags, &["--log", "debug"]].concat();
        let (_database, aka) = start(&files, &flags).await;
        let none = TlsClient::new(&servers);
        assert_eq!(none.refusal(aka.grpc).await, AlertDescription::CertificateRequired);
        assert_handshakes(&aka, "no_certificate", 1.0).await;
        let of_stranger = strangers.client("spiffe://aka/stranger");
        let of_stranger = TlsClient::with_certificate(&servers, &of_stranger);
        assert_eq!(of_stranger.refusal(aka.grpc).await, AlertDescription::UnknownCA);
        assert_handshakes(&aka, "bad_certificate", 1.0).await;
        let good = TlsClient::with_certificate(&servers, &clients.client("spiffe://aka/worker"));
        assert_eq!(good.resolve(aka.grpc, "bob").await, "bob");
        assert_handshakes(&aka, "ok", 1.0).await;
        assert_eq!(aka.logged("spiffe://aka/worker").len(), 1, "the name of the client");
        assert_eq!(aka.logged("spiffe://aka/stranger").len(), 0, "it is not verified");
        assert_eq!(aka.logged("common-name").len(), 0, "it is for people");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_optional_client_certificate_must_be_good_if_it_is_there() {
    let (servers, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let files = KeyFolder::new(&servers.server(), &clients.pem);
    let ca = files.path("ca");
    let flags = ["--tls-client-ca", &ca, "--tls-client-auth", "optional"];
    let (_database, aka) = start(&files, &flags).await;
    assert_eq!(TlsClient::new(&servers).resolve(aka.grpc, "bob").await, "bob");
    let good = TlsClient::with_certificate(&servers, &clients.client("spiffe://aka/worker"));
    assert_eq!(good.resolve(aka.grpc, "bob").await, "bob");
    let of_stranger = strangers.client("spiffe://aka/stranger");
    let of_stranger = TlsClient::with_certificate(&servers, &of_stranger);
    assert_eq!(of_stranger.refusal(aka.grpc).await, AlertDescription::UnknownCA);
    assert_handshakes(&aka, "bad_certificate", 1.0).await;
    assert_handshakes(&aka, "ok", 2.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_client_certificate_is_asked_for_if_none_is_wanted() {
    let (servers, strangers) = (Authority::new(), Authority::new());
    let files = KeyFolder::new(&servers.server(), &servers.pem);
    let ca = files.path("ca");
    let flags = ["--tls-client-ca", &ca, "--tls-client-auth", "none", "--log", "debug"];
    let (_database, aka) = start(&files, &flags).await;
    let of_stranger = strangers.client("spiffe://aka/stranger");
    let of_stranger = TlsClient::with_certificate(&servers, &of_stranger);
    assert_eq!(of_stranger.resolve(aka.grpc, "bob").await, "bob");
    assert_eq!(aka.logged("spiffe://aka/stranger").len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_without_tls_is_refused() {
    let authority = Authority::new();
    let (_database, aka) = start(&KeyFolder::new(&authority.server(), ""), &[]).await;
    let mut stream = TcpStream::connect(aka.grpc).expect("the server listens");
    stream.write_all(&[PREFACE, SETTINGS].concat()).expect("the server reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it is told, and the connection is closed");
    assert_eq!(answer[..3], [21, 3, 3], "an alert of TLS: {answer:?}");
    assert_handshakes(&aka, "not_tls", 1.0).await;
}

/// The time of a client's first words is that of its handshake and its preface together. A unit test
/// has the ten seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_falls_silent_is_cut_off() {
    let authority = Authority::new();
    let files = KeyFolder::new(&authority.server(), "");
    let (_database, aka) = start_with_env(&files, &[], &[("AKA_FIRST_WORDS_MS", "1500")]).await;
    let began = Instant::now();
    let mut silent = TcpStream::connect(aka.grpc).expect("the server listens");
    let mut halting = TcpStream::connect(aka.grpc).expect("the server listens");
    // The head of a record that never comes.
    halting.write_all(&[22, 3, 1, 0, 200, 1]).expect("the server reads");
    let mut shaken = TlsClient::new(&authority).connect(aka.grpc).await.expect("a connection");
    let mut rest = Vec::new();
    // The server may reset it, or close it in order.
    let ended = tokio::time::timeout(PATIENCE, shaken.read_to_end(&mut rest)).await;
    drop(ended.expect("it is cut off"));
    let both = tokio::task::spawn_blocking(move || {
        for stream in [&mut silent, &mut halting] {
            stream.set_read_timeout(Some(PATIENCE)).expect("a time-out can be set");
            match stream.read(&mut [0; 1]) {
                Ok(count) => assert_eq!(count, 0, "there is nothing to be said"),
                Err(error) => assert_ne!(error.kind(), ErrorKind::WouldBlock, "it is cut off"),
            }
        }
    });
    both.await.expect("they are cut off");
    assert!(rest.is_empty() && began.elapsed().as_millis() >= 1_500, "{:?}", began.elapsed());
    assert_handshakes(&aka, "timed_out", 2.0).await;
    assert_handshakes(&aka, "ok", 1.0).await;
    TlsClient::new(&authority).open(aka.grpc).await.expect("others are served");
}

/// More clients than there are places for handshakes say hello and no more. A new one need not wait
/// until their time is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_stop_half_way_do_not_keep_others_out() {
    let authority = Authority::new();
    let files = KeyFolder::new(&authority.server(), "");
    // Their time is never over.
    let (_database, aka) = start_with_env(&files, &[], &[("AKA_FIRST_WORDS_MS", "600000")]).await;
    let client = TlsClient::new(&authority);
    let stalled: Vec<_> = (0..300).map(|_| client.says_hello(aka.grpc)).collect();
    for _ in 0..3 {
        client.connect(aka.grpc).await.expect("it is let in");
    }
    let made_room = aka.metric("aka_tls_handshakes_total", &["result=\"made_room\""]).await;
    assert!(made_room >= 1.0, "one has given way");
    drop(stalled);
}
