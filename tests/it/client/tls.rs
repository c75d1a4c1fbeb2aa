//! The client over mutual TLS.

use crate::tls::{Authority, KeyFolder, start};
use aka_client::{Client, ClientOptions, ResolveError};
use aka_test_support::PROJECT;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_speaks_mutual_tls() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let files = KeyFolder::new(&servers.server(), &clients.pem);
    let client_ca = files.path("ca");
    let (_database, aka) = start(&files, &["--tls-client-ca", &client_ca]).await;
    let own = KeyFolder::new(&clients.client("spiffe://aka/worker"), &servers.pem);
    // The certificate has the name as well as the address.
    for host in ["127.0.0.1", "localhost"] {
        let options = ClientOptions {
            ca: Some(own.path("ca").into()),
            cert: Some(own.path("cert").into()),
            key: Some(own.path("key").into()),
            timeout: Duration::from_secs(30),
            ..ClientOptions::to([format!("https://{host}:{}", aka.grpc.port())])
        };
        let client = Client::connect(options.clone()).await.expect("the files are good");
        assert!(!client.resolve(PROJECT, "bob").await.expect("an answer").is_alias);
        let stranger = ClientOptions { cert: None, key: None, retries: 0, ..options };
        let stranger = Client::connect(stranger).await.expect("the file is good");
        let failed = stranger.resolve(PROJECT, "bob").await.expect_err("it shows no certificate");
        assert!(matches!(failed, ResolveError::Unavailable { .. }), "{failed}");
    }
}
