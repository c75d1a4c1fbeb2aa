//! TLS on the operations port, which has a certificate and rules of its own.

use super::authority::{Authority, KeyFolder};
use super::clients::TlsClient;
use aka_test_support::{Aka, Database, Invocation, aka, backend};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::rustls::version::TLS13;

/// A server whose operations port alone speaks TLS.
async fn start(files: &KeyFolder, flags: &[&str]) -> (Database, Aka) {
    let database = Database::create(backend::sqlite()).await;
    let (cert, key) = (files.path("cert"), files.path("key"));
    let tls = ["--metrics-tls-cert", &cert, "--metrics-tls-key", &key];
    let aka = Aka::serve(&database, &[&tls[..], flags].concat()).await;
    (database, aka)
}

fn status(server: &Aka, scheme: &str, flags: &[&str]) -> Invocation {
    let url = format!("{scheme}://{}", server.metrics);
    aka(["status", "--metrics-server", &url]).args(flags)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_is_shown_over_tls() {
    let authority = Authority::new();
    let files = KeyFolder::new(&authority.server(), &authority.pem);
    let (_database, aka) = start(&files, &[]).await;
    let ca = files.path("ca");
    let shown = status(&aka, "https", &["--ca", &ca]).run().await.succeeded();
    assert!(shown.contains("cluster"), "{shown}");
    let shown = status(&aka, "https", &[]).env("AKA_CA", &ca).run().await.succeeded();
    assert!(shown.contains("cluster"), "{shown}");
    let plain = status(&aka, "http", &[]).run().await;
    plain.failed(69, &["UNREACHABLE", "speaks TLS", "https://"]);
    let other = KeyFolder::new(&authority.server(), &Authority::new().pem);
    let distrustful = status(&aka, "https", &["--ca", &other.path("ca")]).run().await;
    distrustful.failed(69, &["UNREACHABLE", "UnknownIssuer", "--ca"]);
    // The gRPC port has no TLS here.
    aka.resolve(7, "bob").await.expect("it is served as ever");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_need_not_offer_a_protocol() {
    let authority = Authority::new();
    let (_database, aka) = start(&KeyFolder::new(&authority.server(), ""), &[]).await;
    for offered in [&[][..], &["h2", "http/1.1"]] {
        let client = TlsClient::with(&authority, None, &[&TLS13], offered);
        let mut stream = client.connect(aka.metrics).await.expect("a connection");
        let request = b"GET /livez HTTP/1.1\r\nHost: aka\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("closed in order");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("alive\n"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_certificate_can_be_required_there_too() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let files = KeyFolder::new(&servers.server(), &clients.pem);
    let client_ca = files.path("ca");
    let (_database, aka) = start(&files, &["--metrics-tls-client-ca", &client_ca]).await;
    let own = KeyFolder::new(&clients.client("spiffe://aka/operator"), &servers.pem);
    let (ca, cert, key) = (own.path("ca"), own.path("cert"), own.path("key"));
    let without = status(&aka, "https", &["--ca", &ca]).run().await;
    without.failed(69, &["UNREACHABLE", "client certificate", "--cert"]);
    let with = status(&aka, "https", &["--ca", &ca, "--cert", &cert, "--key", &key]);
    with.run().await.succeeded();
}
