//! The commands over TLS, and what they say if it does not come about.

use super::authority::{Authority, KeyFolder};
use super::start;
use aka_test_support::{Aka, Invocation, PROJECT, aka, backend};
use std::net::SocketAddr;

fn client<const N: usize>(scheme: &str, server: SocketAddr, args: [&str; N]) -> Invocation {
    let url = format!("{scheme}://{server}");
    aka(args).env("AKA_SERVER", url).env("AKA_PROJECT", PROJECT.to_string())
}

/// A server that requires client certificates, and the files of one of its clients.
async fn mutual() -> (aka_test_support::Database, Aka, KeyFolder) {
    let (servers, clients) = (Authority::new(), Authority::new());
    let files = KeyFolder::new(&servers.server(), &clients.pem);
    let client_ca = files.path("ca");
    let (database, aka) = start(&files, &["--tls-client-ca", &client_ca]).await;
    (database, aka, KeyFolder::new(&clients.client("spiffe://aka/worker"), &servers.pem))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_speak_mutual_tls() {
    let (_database, aka, own) = mutual().await;
    let (ca, cert, key) = (own.path("ca"), own.path("cert"), own.path("key"));
    let flags = ["--ca", &ca, "--cert", &cert, "--key", &key];
    let create = client("https", aka.grpc, ["alias", "create", "bob", "alice"]).args(flags);
    create.run().await.succeeded();
    let resolve = client("https", aka.grpc, ["resolve", "bob"]).args(flags);
    assert_eq!(resolve.run().await.succeeded(), "alice\n");
    let by_name = aka_by_name(&aka).args(flags);
    assert_eq!(by_name.run().await.succeeded(), "alice\n");
    let health = client("https", aka.grpc, ["health"]);
    let health = health.env("AKA_CA", &ca).env("AKA_CERT", &cert).env("AKA_KEY", &key);
    assert_eq!(health.run().await.succeeded(), "SERVING\n");
    let bench = ["bench", "--prepare", "--keys", "100", "--duration", "1", "--warm-up", "0"];
    let bench = client("https", aka.grpc, bench).args(flags).args(["--output", "json"]);
    let report = bench.run().await;
    assert_eq!(report.code, Some(0), "{report}");
    let report: serde_json::Value = serde_json::from_str(&report.text()).expect("JSON");
    assert!(report["ids"].as_u64().expect("a count") > 0, "{report}");
}

/// The certificate has the name as well as the address.
fn aka_by_name(server: &Aka) -> Invocation {
    let url = format!("https://localhost:{}", server.grpc.port());
    aka(["resolve", "bob", "--server", &url]).env("AKA_PROJECT", PROJECT.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_let_a_command_in_is_unreachable() {
    let (_database, aka, own) = mutual().await;
    let (ca, cert, key) = (own.path("ca"), own.path("cert"), own.path("key"));
    for args in [["resolve", "bob", "--output", "text"], ["alias", "get", "bob", "--output=text"]] {
        let plain = client("http", aka.grpc, args);
        plain.run().await.failed(69, &["UNREACHABLE", "speaks TLS on this port", "https://"]);
    }
    let health = client("https", aka.grpc, ["health", "--ca", &ca]);
    health.run().await.failed(69, &["UNREACHABLE", "client certificate", "--cert and --key"]);
    let other = KeyFolder::new(&Authority::new().server(), &Authority::new().pem);
    let (other_ca, other_cert, other_key) =
        (other.path("ca"), other.path("cert"), other.path("key"));
    let distrustful = ["health", "--ca", &other_ca, "--cert", &cert, "--key", &key];
    let distrustful = client("https", aka.grpc, distrustful);
    distrustful.run().await.failed(69, &["UNREACHABLE", "UnknownIssuer", "--ca"]);
    let stranger = ["health", "--ca", &ca, "--cert", &other_cert, "--key", &other_key];
    let stranger = client("https", aka.grpc, stranger);
    stranger.run().await.failed(69, &["UNREACHABLE", "refused the TLS connection", "UnknownCA"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_tls_is_unreachable_by_https() {
    let (_database, aka) = aka_test_support::start(backend::sqlite()).await;
    let files = KeyFolder::new(&Authority::new().server(), &Authority::new().pem);
    let health = client("https", aka.grpc, ["health", "--ca", &files.path("ca")]);
    health.run().await.failed(69, &["UNREACHABLE", "does it speak TLS on this port?"]);
}

#[tokio::test]
async fn files_that_cannot_be_used_are_wrong_usage() {
    let authority = Authority::new();
    let issued = authority.server();
    let files = KeyFolder::new(&issued, &authority.pem);
    let (ca, cert, key) = (files.path("ca"), files.path("cert"), files.path("key"));
    // Nobody listens there: the files come first.
    let health = |args: &[&str]| {
        aka(["health", "--server", "https://127.0.0.1:1"]).args(args.iter().copied())
    };
    health(&["--ca", "/missing"]).run().await.failed(2, &["USAGE", "/missing", "No such file"]);
    health(&["--ca", &key]).run().await.failed(2, &["USAGE", &key, "no certificates"]);
    let swapped = ["--ca", &ca, "--cert", &cert, "--key", &cert];
    health(&swapped).run().await.failed(2, &["USAGE", &cert, "private key"]);
    health(&["--ca", &ca, "--cert", &cert]).run().await.misunderstood(2, "--key");
    files.replace_with_mode(&issued, &authority.pem, 0o644);
    let open = ["--ca", &ca, "--cert", &cert, "--key", &key];
    health(&open).run().await.failed(2, &["USAGE", &key, "mode 644", "chmod 600"]);
}
