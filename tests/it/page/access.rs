//! Who may look ids up: with principals those who have a token, and never another site.

use super::requests::{OWN, ask, send};
use crate::auth::people::{PrincipalFile, Token, admin, stanza};
use crate::tls::authority::{Authority, KeyFolder};
use crate::tls::clients::TlsClient;
use aka_test_support::{Aka, Database, PROJECT, backend, create_request, eventually, start};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::rustls::version::TLS13;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_principals_a_lookup_needs_the_role_and_the_project() {
    let (reader, writer, stranger) = (Token::new().await, Token::new().await, Token::new().await);
    let file = PrincipalFile::new(
        &[reader.stanza("support", "reader", "[7]"), writer.stanza("console", "writer", "\"*\"")]
            .concat(),
    );
    let database = Database::create(backend::sqlite()).await;
    let aka = Aka::serve(&database, &["--auth-file", &file.path()]).await;
    let request = create_request(PROJECT, "bob", "alice");
    admin(&aka, &writer).create_alias(request).await.expect("created");

    for token in [&reader, &writer] {
        let found = ask(&aka, "7", "bob", Some(&token.text)).await;
        assert_eq!((found.code, &found.json()["canonical_id"]), (200, &json!("alice")));
    }
    let refused = ask(&aka, "7", "bob", None).await;
    refused.refuses(401, "CREDENTIALS_REQUIRED");
    assert!(refused.head.contains("www-authenticate: bearer"), "{}", refused.head);
    for token in [&*stranger.text, "aka_x", "", &reader.text[..52]] {
        ask(&aka, "7", "bob", Some(token)).await.refuses(401, "CREDENTIALS_INVALID");
    }
    ask(&aka, "8", "bob", Some(&reader.text)).await.refuses(403, "PROJECT_FORBIDDEN");
    // The gate comes first: what is asked for is not looked at.
    let refused = send(&aka, "POST /ui/lookup", OWN, b"no JSON").await;
    refused.refuses(401, "CREDENTIALS_REQUIRED");
    // A page of another name has no token, so with principals the name does not matter.
    let bearer = format!("Authorization: Bearer {}", reader.text);
    let head = ["Host: aka.example.com", "Content-Type: application/json", &bearer];
    let form = br#"{"project_id":"7","distinct_id":"bob"}"#;
    assert_eq!(send(&aka, "POST /ui/lookup", &head, form).await.code, 200);
    // How the shards are is shown to everybody, and that a token is wanted.
    let status = send(&aka, "GET /status", &["Host: aka"], b"").await.json();
    assert_eq!(status["principals"], json!(true));

    let line = eventually("the lookup is in the audit trail", async || {
        aka.logged("PageLookup").into_iter().find(|line| line.contains("PROJECT_FORBIDDEN"))
    })
    .await;
    let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    let said = ["principal", "project", "alias_id", "outcome"].map(|field| &line[field]);
    assert_eq!(said, [&json!("support"), &json!(8), &json!("bob"), &json!("PERMISSION_DENIED")]);
    assert_eq!(aka.logged(&reader.text), [""; 0], "no token is in the log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_site_is_refused() {
    let (_database, aka) = start(backend::sqlite()).await;
    let form = br#"{"project_id":"7","distinct_id":"bob"}"#;
    let json = "Content-Type: application/json";
    let lookup = async |head: &[&str]| send(&aka, "POST /ui/lookup", head, form).await;
    for own in [
        &["Host: localhost:9464", json][..],
        &["Host: 127.0.0.1:9464", json, "Origin: http://127.0.0.1:9464"],
        &["Host: [::1]:9464", "Content-Type: Application/JSON; charset=utf-8"],
        &["Host: aka:9464", json, "Sec-Fetch-Site: same-origin"],
    ] {
        assert_eq!(lookup(own).await.code, 200, "{own:?}");
    }
    // What a form of another site can send without asking first.
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        let kind = format!("Content-Type: {kind}");
        lookup(&["Host: localhost", &kind]).await.refuses(415, "MEDIA_TYPE");
    }
    lookup(&["Host: localhost"]).await.refuses(415, "MEDIA_TYPE");
    lookup(&["Host: localhost", json, json]).await.refuses(415, "MEDIA_TYPE");
    // Asking first is refused, too.
    let asking = ["Host: localhost", "Origin: http://evil.example"];
    send(&aka, "OPTIONS /ui/lookup", &asking, b"").await.refuses(405, "METHOD_NOT_ALLOWED");
    for from in [
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
        "Origin: http://evil.example",
        "Origin: http://localhost:8080",
        "Origin: null",
    ] {
        lookup(&["Host: localhost:9464", json, from]).await.refuses(403, "CROSS_SITE");
    }
    // DNS rebinding: a name of the attacker's that leads here.
    for host in ["evil.example:9464", "localhost.evil.example", "127.0.0.1.evil.example", "evil."] {
        let host = format!("Host: {host}");
        let words = lookup(&[&host, json, "Sec-Fetch-Site: same-origin"]).await;
        assert!(words.refuses(403, "HOST_REFUSED").contains("--auth-file"));
    }
    for hosts in [&[json][..], &["Host: localhost", "Host: evil.example", json]] {
        lookup(hosts).await.refuses(400, "HOST_REQUIRED");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_certificate_does_as_well() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let keys = KeyFolder::new(&servers.server(), &clients.pem);
    let spiffe = "spiffe = [\"spiffe://aka/support\"]";
    let file = PrincipalFile::new(&stanza("support", "reader", "[7]", spiffe));
    let (cert, key, ca, auth) = (keys.path("cert"), keys.path("key"), keys.path("ca"), file.path());
    let database = Database::create(backend::sqlite()).await;
    let tls = ["--metrics-tls-cert", &cert, "--metrics-tls-key", &key];
    let flags = ["--metrics-tls-client-ca", &ca, "--auth-file", &auth];
    let aka = Aka::serve(&database, &[&tls[..], &flags].concat()).await;
    for (uri, status) in [("spiffe://aka/support", 200), ("spiffe://aka/stranger", 401)] {
        let client =
            TlsClient::with(&servers, Some(&clients.client(uri)), &[&TLS13], &["http/1.1"]);
        let mut stream = client.connect(aka.metrics).await.expect("a connection");
        let form = r#"{"project_id":"7","distinct_id":"bob"}"#;
        let request = format!(
            "POST /ui/lookup HTTP/1.1\r\nHost: aka.example.com\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{form}",
            form.len()
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.expect("closed in order");
        assert!(reply.starts_with(&format!("HTTP/1.1 {status}")), "{uri}: {reply}");
    }
}
