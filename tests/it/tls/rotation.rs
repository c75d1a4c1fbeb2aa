//! Certificates that change while the service runs.

use super::authority::{Authority, EXPIRY, Issued, KeyFolder};
use super::clients::TlsClient;
use super::start_with_env;
use aka_test_support::{Aka, PROJECT, eventually, resolve_request};
use aka_wire::pb::resolver_client::ResolverClient;
use rustix::process::Signal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio_rustls::rustls::{AlertDescription, HandshakeKind};

/// The files are looked at often.
const OFTEN: (&str, &str) = ("AKA_FILES_LOOK_MS", "20");
/// The files are looked at between any two steps of a test.
const ALWAYS: (&str, &str) = ("AKA_FILES_LOOK_MS", "1");
/// The files are not looked at within a test, but for a signal.
const NEVER: (&str, &str) = ("AKA_FILES_LOOK_MS", "86400000");

const RELOADS: &str = "aka_reloads_total";

async fn reloads(aka: &Aka, result: &str) -> f64 {
    let label = format!("result=\"{result}\"");
    aka.metric(RELOADS, &["what=\"tls\"", &label]).await
}

/// Waits until so many reloads have ended so. There may not be more.
async fn assert_reloads(aka: &Aka, result: &str, count: f64) {
    let counted = async || Some(reloads(aka, result).await).filter(|now| *now >= count);
    assert_eq!(eventually("it is counted", counted).await, count, "{result}");
}

async fn assert_shown(client: &TlsClient, issued: &Issued, aka: &Aka) {
    let shown = async || client.is_shown(issued, aka.grpc).await.then_some(());
    eventually("the new certificate is used", shown).await;
}

/// Asks over an old connection and over new ones until it is told to stop. No call may fail.
async fn calls_without_end(aka: &Aka, client: TlsClient, stop: Arc<AtomicBool>) -> u32 {
    let mut old = ResolverClient::new(client.channel(aka.grpc).await.expect("a connection"));
    let mut calls = 0;
    while !stop.load(Ordering::Relaxed) {
        old.resolve(resolve_request(PROJECT, "bob")).await.expect("the old connection goes on");
        assert_eq!(client.resolve(aka.grpc, "bob").await, "bob");
        calls += 1;
    }
    calls
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_is_used_and_no_call_fails() {
    let authority = Authority::new();
    let files = KeyFolder::new(&authority.server(), "");
    let (_database, aka) = start_with_env(&files, &[], &[OFTEN]).await;
    let client = TlsClient::new(&authority);
    let stop = Arc::new(AtomicBool::new(false));
    let calls = calls_without_end(&aka, client.clone(), stop.clone());
    let rotate = async {
        for round in 1..=10_u32 {
            let next = authority.server();
            files.replace(&next, "");
            assert_shown(&client, &next, &aka).await;
            assert_reloads(&aka, "ok", f64::from(round)).await;
        }
        stop.store(true, Ordering::Relaxed);
    };
    let (calls, ()) = tokio::join!(calls, rotate);
    assert!(calls > 0);
    assert_eq!(aka.metric("aka_tls_certificate_expiry_seconds", &["what=\"tls\""]).await, EXPIRY);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sighup_has_the_files_read_again() {
    let authority = Authority::new();
    let first = authority.server();
    let files = KeyFolder::new(&first, "");
    let (_database, aka) = start_with_env(&files, &[], &[NEVER]).await;
    let client = TlsClient::new(&authority);
    let next = authority.server();
    files.replace(&next, "");
    assert!(client.is_shown(&first, aka.grpc).await, "nobody has looked");
    aka.signal(Signal::HUP);
    assert_shown(&client, &next, &aka).await;
    assert_reloads(&aka, "ok", 1.0).await;
    // Also if they hold the same as before: whoever asks sees that it was done.
    aka.signal(Signal::HUP);
    assert_reloads(&aka, "ok", 2.0).await;
    assert_eq!(reloads(&aka, "failed").await, 0.0);
    assert_eq!(aka.metric(RELOADS, &["what=\"metrics_tls\""]).await, 0.0);
}

/// Each is said once, however often the files are looked at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_used_changes_nothing() {
    let authority = Authority::new();
    let first = authority.server();
    let files = KeyFolder::new(&first, "");
    let (_database, aka) = start_with_env(&files, &[], &[ALWAYS]).await;
    let client = TlsClient::new(&authority);
    let (other, garbage) = (authority.server(), "no certificate".to_owned());
    let wrong: [(&str, Issued, u32); 5] = [
        ("read or changed by others", other.clone(), 0o640),
        ("no certificates", Issued { cert: garbage.clone(), ..other.clone() }, 0o600),
        ("no private key", Issued { key: garbage, ..other.clone() }, 0o600),
        ("KeyMismatch", Issued { key: first.key.clone(), ..other.clone() }, 0o600),
        ("expired", authority.expired_server(), 0o600),
    ];
    for (round, (part, issued, mode)) in wrong.iter().enumerate() {
        files.replace_with_mode(issued, "", *mode);
        let said = async || Some(aka.logged(part)).filter(|lines| !lines.is_empty());
        let lines = eventually(part, said).await;
        assert!(lines.len() == 1 && lines[0].contains("the old ones stay"), "{lines:?}");
        assert_reloads(&aka, "failed", (round + 1) as f64).await;
        for _ in 0..10 {
            assert!(client.is_shown(&first, aka.grpc).await, "the old one stays: {part}");
        }
    }
    let secret = other.key.lines().nth(1).expect("a line of the key");
    assert_eq!(aka.logged(secret).len(), 0, "a key is never logged");
    files.replace(&other, "");
    assert_shown(&client, &other, &aka).await;
    assert_reloads(&aka, "ok", 1.0).await;
    assert_reloads(&aka, "failed", wrong.len() as f64).await;
    for (part, ..) in wrong {
        assert_eq!(aka.logged(part).len(), 1, "it is said once: {part}");
    }
}

/// Authorities that are no longer trusted open no connection, also for a client that has a session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_authorities_of_clients_take_the_place_of_the_old_ones() {
    let (servers, old, new) = (Authority::new(), Authority::new(), Authority::new());
    let server = servers.server();
    let files = KeyFolder::new(&server, &old.pem);
    let ca = files.path("ca");
    let flags = ["--tls-client-ca", &ca, "--tls-min-version", "1.2"];
    let (_database, aka) = start_with_env(&files, &flags, &[OFTEN]).await;
    let of_old = TlsClient::with_certificate(&servers, &old.client("spiffe://aka/old"));
    let of_new = TlsClient::with_certificate(&servers, &new.client("spiffe://aka/new"));
    for _ in 0..2 {
        let stream = of_old.open(aka.grpc).await.expect("it is trusted");
        // Each connection shows its certificate, so that none outlives its end.
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
    }
    assert_eq!(of_new.refusal(aka.grpc).await, AlertDescription::UnknownCA);
    files.replace(&server, &new.pem);
    assert_reloads(&aka, "ok", 1.0).await;
    assert_eq!(of_old.refusal(aka.grpc).await, AlertDescription::UnknownCA);
    assert_eq!(of_new.resolve(aka.grpc, "bob").await, "bob");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_with_the_files_that_it_began_under() {
    let authority = Authority::new();
    let files = KeyFolder::new(&authority.server(), "");
    let (_database, aka) = start_with_env(&files, &[], &[NEVER]).await;
    let client = TlsClient::new(&authority);
    let kind = async || {
        let stream = client.open(aka.grpc).await.expect("a connection");
        stream.get_ref().1.handshake_kind().expect("the handshake is complete")
    };
    assert_eq!(kind().await, HandshakeKind::Full);
    assert_eq!(kind().await, HandshakeKind::Resumed);
    aka.signal(Signal::HUP);
    assert_reloads(&aka, "ok", 1.0).await;
    assert_eq!(kind().await, HandshakeKind::Full);
    assert_eq!(kind().await, HandshakeKind::Resumed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_gone_changes_nothing() {
    let authority = Authority::new();
    let issued = authority.server();
    let files = KeyFolder::new(&issued, "");
    let (_database, aka) = start_with_env(&files, &[], &[NEVER]).await;
    std::fs::remove_file(files.path("cert")).expect("it was there");
    aka.signal(Signal::HUP);
    assert_reloads(&aka, "failed", 1.0).await;
    assert!(TlsClient::new(&authority).is_shown(&issued, aka.grpc).await);
}
