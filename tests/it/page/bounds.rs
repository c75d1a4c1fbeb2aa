//! What is no lookup, what is too much, and the files of the page.

use super::requests::{OWN, ask, send};
use aka_test_support::{Aka, Database, PATIENCE, PROJECT, backend, eventually, start};
use serde_json::json;
use std::fs;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_lookup_is_refused_in_words() {
    let (_database, aka) = start(backend::sqlite()).await;
    for method in ["GET", "PUT", "DELETE", "HEAD"] {
        let refused = send(&aka, &format!("{method} /ui/lookup"), OWN, b"").await;
        assert_eq!(refused.code, 405, "{method}");
        assert!(refused.head.contains("allow: post"), "{}", refused.head);
    }
    for body in [
        &b""[..],
        b"null",
        b"[]",
        b"{}",
        br#"{"project_id":7,"distinct_id":"bob"}"#,
        br#"{"project_id":"7","distinct_id":"bob","more":1}"#,
        br#"{"project_id":"7","distinct_id":"bob"} {}"#,
        br#"{"project_id":"7","project_id":"8","distinct_id":"bob"}"#,
    ] {
        send(&aka, "POST /ui/lookup", OWN, body).await.refuses(400, "MALFORMED_MESSAGE");
    }
    for project in ["", "0", "-1", "+7", " 7", "7.0", "9223372036854775808", "eins", "７"] {
        ask(&aka, project, "bob", None).await.refuses(400, "INVALID_PROJECT");
    }
    ask(&aka, "9223372036854775807", "bob", None).await.json()["kind"]
        .as_str()
        .expect("the greatest project is one");
    // A page is not changed by anybody.
    assert_eq!(send(&aka, "POST /ui", OWN, b"").await.code, 405);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let (_database, aka) = start(backend::sqlite()).await;
    let mut stream = TcpStream::connect(aka.metrics).await.expect("the port is open");
    let head = OWN.join("\r\n");
    let request = format!("POST /ui/lookup HTTP/1.1\r\n{head}\r\nContent-Length: 100\r\n\r\n{{");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut reply = String::new();
    let closed = timeout(PATIENCE, stream.read_to_string(&mut reply)).await;
    closed.expect("it is given up").expect("the connection is closed");
    assert!(reply.starts_with("HTTP/1.1 408"), "{reply}");
    assert!(reply.contains("REQUEST_INCOMPLETE"), "{reply}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_few_lookups_are_answered_at_once_and_more_are_refused() {
    let database = Database::create(backend::sqlite()).await;
    let gate = TempDir::new().expect("a folder");
    let folder = gate.path().display().to_string();
    let flags = ["--filter", "false"];
    let aka = Aka::serve_with_env(&database, &flags, &[("AKA_HOLD_DIR", &folder)]).await;
    let (landing, held) = (gate.path().join("landing"), gate.path().join("landing.held"));
    fs::write(&landing, "").expect("the gate closes");
    let lookups = async {
        // Until it has a place: the fifth may be faster than the fourth.
        let taken = async |id| {
            eventually("there is a place", async || {
                Some(ask(&aka, "7", id, None).await).filter(|asked| asked.code != 503)
            })
            .await
        };
        let ids = ["a", "b", "c", "d"].map(taken);
        let [a, b, c, d] = ids;
        tokio::join!(a, b, c, d)
    };
    let fifth = async {
        eventually("a load is held", async || held.exists().then_some(())).await;
        let refused = eventually("there is no place", async || {
            // A rule answers it, so it never waits.
            let asked = ask(&aka, "7", "null", None).await;
            (asked.code != 200).then_some(asked)
        })
        .await;
        let words = refused.refuses(503, "OVERLOADED");
        // Others are not hurt, and probes neither.
        assert_eq!(send(&aka, "GET /livez", &["Host: aka"], b"").await.code, 200);
        fs::remove_file(&landing).expect("the gate opens");
        words
    };
    let ((a, b, c, d), words) = tokio::join!(lookups, fifth);
    assert!(words.contains("Try again"), "{words}");
    for answered in [a, b, c, d] {
        assert_eq!((answered.code, &answered.json()["kind"]), (200, &json!("alone")));
    }
    aka.resolve(PROJECT, "a").await.expect("resolved");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_files_are_served_with_a_strict_policy() {
    let (_database, aka) = start(backend::sqlite()).await;
    for (path, kind) in
        [("/ui", "text/html"), ("/ui/page.js", "text/javascript"), ("/ui/page.css", "text/css")]
    {
        let file = send(&aka, &format!("GET {path}"), &["Host: aka"], b"").await;
        assert_eq!(file.code, 200, "{path}");
        for header in [
            &*format!("content-type: {kind}; charset=utf-8"),
            "content-security-policy: default-src 'self';",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        ] {
            assert!(file.head.contains(header), "{path} lacks {header}: {}", file.head);
        }
        let head = send(&aka, &format!("HEAD {path}"), &["Host: aka"], b"").await;
        assert_eq!((head.code, head.body.len()), (200, 0), "{path}");
    }
    let slash = send(&aka, "GET /ui/", &["Host: aka"], b"").await;
    assert_eq!((slash.code, slash.head.contains("location: ../ui")), (308, true));
    let none = send(&aka, "GET /ui/page.html", &["Host: aka"], b"").await;
    assert_eq!(none.code, 404);
    assert!(String::from_utf8_lossy(&none.body).contains("/ui"), "it says where the page is");
}
