//! Settings of TLS that cannot be used end the start: one sentence, exit code 64.

use super::authority::{Authority, Issued, KeyFolder};
use aka_test_support::{Invocation, aka_serve};

/// The database cannot be made, so that a start that is not refused leaves nothing behind.
fn serve(args: &[&str]) -> Invocation {
    aka_serve(["--sqlite", "/dev/null/aka.db"]).args(args.iter().copied())
}

#[tokio::test]
async fn settings_that_lack_another_are_refused() {
    let authority = Authority::new();
    let files = KeyFolder::new(&authority.server(), &authority.pem);
    let (ca, cert, key) = (files.path("ca"), files.path("cert"), files.path("key"));
    for prefix in ["", "metrics-"] {
        let flag = |name: &str| format!("--{prefix}tls-{name}");
        let name = |name: &str| format!("{}tls_{name}", prefix.replace('-', "_"));
        let both = [flag("cert"), cert.clone(), flag("key"), key.clone()];
        for (args, set, lacks) in [
            (vec![flag("cert"), cert.clone()], "cert", "key"),
            (vec![flag("key"), key.clone()], "key", "cert"),
            (vec![flag("client-ca"), ca.clone()], "client_ca", "cert"),
            (vec![flag("client-auth"), "required".to_owned()], "client_auth", "cert"),
            (
                [&both[..], &[flag("client-auth"), "optional".to_owned()]].concat(),
                "client_auth",
                "client_ca",
            ),
        ] {
            let said = format!("{} is set, but {} is not", name(set), name(lacks));
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            serve(&args).run().await.failed(64, &[&said]);
        }
        let wrong = [flag("min-version"), "1.1".to_owned()];
        serve(&[&wrong[0], &wrong[1]]).run().await.misunderstood(64, "1.2");
        let wrong = [flag("client-auth"), "perhaps".to_owned()];
        serve(&[&wrong[0], &wrong[1]]).run().await.misunderstood(64, "optional");
    }
}

#[tokio::test]
async fn files_that_cannot_be_used_are_refused() {
    let (authority, garbage) = (Authority::new(), "garbage".to_owned());
    let (good, other) = (authority.server(), authority.server());
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n";
    for (issued, ca, mode, part) in [
        (
            Issued { cert: garbage.clone(), ..good.clone() },
            &*authority.pem,
            0o600,
            "no certificates",
        ),
        (Issued { key: garbage.clone(), ..good.clone() }, &authority.pem, 0o600, "no private key"),
        (Issued { key: encrypted.to_owned(), ..good.clone() }, &authority.pem, 0o600, "encrypted"),
        (Issued { key: other.key, ..good.clone() }, &authority.pem, 0o600, "cannot be used"),
        (authority.expired_server(), &authority.pem, 0o600, "expired"),
        (good.clone(), &garbage, 0o600, "no certificates"),
        (good.clone(), &authority.pem, 0o640, "mode 640"),
        (good.clone(), &authority.pem, 0o604, "mode 604"),
    ] {
        let files = KeyFolder::new(&good, "");
        files.replace_with_mode(&issued, ca, mode);
        for prefix in ["", "metrics-"] {
            let flag = |name: &str| {
                format!("--{prefix}tls-{name}={}", files.path(name.trim_start_matches("client-")))
            };
            let flags = ["cert", "key", "client-ca"].map(flag);
            let flags = [&*flags[0], &flags[1], &flags[2]];
            serve(&flags).run().await.failed(64, &[part]);
            serve(&flags).args(["--print-config"]).run().await.failed(64, &[part]);
        }
    }
    let missing = ["--tls-cert", "/missing/cert", "--tls-key", "/missing/key"];
    serve(&missing).run().await.failed(64, &["/missing/cert", "No such file"]);
}

#[tokio::test]
async fn the_configuration_shows_paths_and_no_key() {
    let authority = Authority::new();
    let issued = authority.server();
    let files = KeyFolder::new(&issued, &authority.pem);
    let (cert, key, ca) = (files.path("cert"), files.path("key"), files.path("ca"));
    let flags = ["--tls-cert", &cert, "--tls-key", &key, "--metrics-tls-cert", &cert];
    let more = ["--metrics-tls-key", &key, "--tls-client-ca", &ca, "--tls-min-version", "1.2"];
    let shown = serve(&[&flags[..], &more].concat()).args(["--print-config"]);
    let shown = shown.run().await.succeeded();
    for line in [
        format!("tls_cert = \"{cert}\""),
        format!("metrics_tls_key = \"{key}\""),
        "tls_min_version = \"1.2\"".to_owned(),
        "metrics_tls_min_version = \"1.3\"".to_owned(),
        "insecure = false".to_owned(),
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
    }
    let secret = issued.key.lines().nth(1).expect("a line of the key");
    assert!(!shown.contains(secret), "{shown}");
    // What it shows can be used as a file.
    let file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    std::fs::write(file.path(), &shown).expect("it can be written");
    let path = file.path().to_str().expect("UTF-8");
    let again = aka_test_support::aka(["serve", "--config", path, "--print-config"]);
    assert_eq!(again.run().await.succeeded(), shown);
}
