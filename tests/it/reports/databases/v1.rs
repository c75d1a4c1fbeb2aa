//! A server certificate of X.509 version 1.

use super::own;
use aka_test_support::{Database, Engine, aka, aka_serve};
use std::path::Path;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn is_named_with_what_to_do() {
    let own = own(Engine::MySql, &[]).await;
    let database = Database::on(&[&own]).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/reports/certificate");
    let [certificate, key] = ["v1-cert.pem", "v1-key.pem"].map(|file| folder.join(file));
    own.execute(&format!(
        "SET GLOBAL ssl_ca = '{0}'; SET GLOBAL ssl_cert = '{0}'; SET GLOBAL ssl_key = '{1}';
         ALTER INSTANCE RELOAD TLS",
        certificate.display(),
        key.display()
    ))
    .await;
    let url = database.flags()[1].clone();
    for mode in ["", "?ssl-mode=preferred", "?ssl-mode=required"] {
        let url = format!("{url}{mode}");
        let said = ["X.509 version 1", "version 3", "ssl-mode=disabled"];
        aka_serve(["--shard", &url]).run().await.failed(69, &said);
        aka(["migrate", "--shard", &url]).run().await.failed(69, &said);
    }
    // What the sentence says does help.
    let plain = format!("{url}?ssl-mode=disabled");
    aka(["check", "--shard", &plain]).run().await.succeeded();
}
