//! Without TLS gRPC is served beyond loopback only if somebody says that this is meant.

use super::authority::{Authority, KeyFolder};
use aka_test_support::{Invocation, aka};
use std::net::TcpListener;

fn serve(listen: &str) -> Invocation {
    // The database cannot be made, so that a start that is not refused leaves nothing behind.
    aka(["serve", "--metrics-listen", "127.0.0.1:0", "--listen", listen])
        .args(["--sqlite", "/dev/null/aka.db"])
}

#[tokio::test]
async fn an_open_port_without_tls_is_refused() {
    for listen in ["0.0.0.0:0", "[::]:0", "[::ffff:192.0.2.1]:0", "192.0.2.1:50051"] {
        let said =
            ["gRPC on ", "neither TLS nor principals", "--tls-cert", "--auth-file", "--insecure"];
        serve(listen).run().await.failed(64, &said);
        serve(listen).args(["--print-config"]).run().await.failed(64, &said);
        serve(listen).args(["--insecure", "false"]).run().await.failed(64, &said);
    }
}

#[tokio::test]
async fn what_is_meant_is_served() {
    let authority = Authority::new();
    let files = KeyFolder::new(&authority.server(), "");
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("aka.db");
    let serve = |listen: &str| {
        aka(["serve", "--metrics-listen", "127.0.0.1:0", "--listen", listen, "--sqlite"])
            .args([&file])
    };
    let (cert, key) = (files.path("cert"), files.path("key"));
    for meant in [
        serve("0.0.0.0:0").args(["--insecure"]),
        serve("0.0.0.0:0").args(["--insecure", "--drain-delay-ms", "0"]),
        serve("0.0.0.0:0").env("AKA_INSECURE", "true"),
        serve("0.0.0.0:0").args(["--tls-cert", &cert, "--tls-key", &key]),
        serve("127.0.0.2:0"),
    ] {
        let ended = meant.serve().await.stop().await;
        assert_eq!(ended.code, Some(0), "{ended}");
    }
    // The operations port changes nothing.
    let metrics = ["serve", "--listen", "127.0.0.1:0", "--metrics-listen", "0.0.0.0:0", "--sqlite"];
    aka(metrics).args([&file]).args(["--print-config"]).run().await.succeeded();
}

/// A socket of the service manager has an address of its own.
#[tokio::test]
async fn a_socket_that_is_passed_is_checked_too() {
    let socket = |address| TcpListener::bind(address).expect("a free port");
    let open = [socket("0.0.0.0:0"), socket("127.0.0.1:0")];
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("aka.db");
    let serve = || aka(["serve", "--sqlite"]).args([&file]).sockets(&open, "grpc:ops");
    serve()
        .run()
        .await
        .failed(64, &["gRPC on 0.0.0.0:", "neither TLS nor principals", "--insecure"]);
    let ended = serve().env("AKA_INSECURE", "true").serve().await.stop().await;
    assert_eq!(ended.code, Some(0), "{ended}");
}
