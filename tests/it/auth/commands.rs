//! The commands: how they make, check and send tokens, and what they say when they are refused.

use super::people::{PrincipalFile, Token};
use super::{NEVER, start};
use aka_test_support::{Aka, Invocation, PROJECT, aka};
use std::fs;

/// A command for this server, as a client of this token whose file is in `folder`.
fn command<const N: usize>(server: &Aka, args: [&str; N]) -> Invocation {
    let url = format!("http://{}", server.grpc);
    aka(args).env("AKA_SERVER", url).env("AKA_PROJECT", PROJECT.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_send_a_token() {
    let (writer, reader) = (Token::new().await, Token::new().await);
    let stanzas = writer.stanza("etl", "writer", "[7]") + &reader.stanza("web", "reader", "[7]");
    let (_database, server) = start(&PrincipalFile::new(&stanzas), &[], &[NEVER]).await;
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("token");
    fs::write(&path, format!("{}\r\n", writer.text)).expect("it can be written");
    let file = path.to_str().expect("UTF-8");

    let create = command(&server, ["alias", "create", "bob", "alice", "--token-file", file]);
    create.run().await.succeeded();
    let resolve = command(&server, ["resolve", "bob"]).env("AKA_TOKEN", &reader.text);
    assert_eq!(resolve.run().await.succeeded(), "alice\n");
    let get = command(&server, ["alias", "get", "bob"]).env("AKA_TOKEN_FILE", file);
    get.run().await.succeeded();
    let bench = ["bench", "--prepare", "--keys", "50", "--duration", "0.2", "--warm-up", "0"];
    let bench = command(&server, bench).args(["--output", "json"]).env("AKA_TOKEN_FILE", file);
    let report = bench.run().await;
    assert_eq!(report.code, Some(0), "{report}");
    let rows = "{\"project_id\":7,\"alias_id\":\"carol\",\"canonical_id\":\"alice\"}\n";
    let import = command(&server, ["import"]).env("AKA_TOKEN", &writer.text).input(rows);
    let imported = import.run().await;
    assert_eq!(imported.code, Some(0), "{imported}");
    let event = r#"{"event":"e","properties":{"distinct_id":"bob"}}"#;
    let rewrite = || command(&server, ["rewrite"]).input(event);
    let rewritten = rewrite().env("AKA_TOKEN", &reader.text).run().await;
    assert!(rewritten.text().contains("alice"), "{rewritten}");
    let by_file = rewrite().env("AKA_TOKEN_FILE", file).run().await;
    assert_eq!(by_file.text(), rewritten.text(), "{by_file}");
    let refused = rewrite().run().await;
    assert_eq!((refused.code, refused.text()), (Some(1), String::new()), "{refused}");
    command(&server, ["health"]).run().await.succeeded();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_is_refused_says_why() {
    let reader = Token::new().await;
    let file = PrincipalFile::new(&reader.stanza("web", "reader", "[7]"));
    let (_database, server) = start(&file, &[], &[NEVER]).await;
    let resolve = || command(&server, ["resolve", "bob"]);
    resolve().run().await.failed(1, &["CREDENTIALS_REQUIRED", "--token-file"]);
    let stranger = Token::new().await;
    let refused = resolve().env("AKA_TOKEN", &stranger.text).run().await;
    refused.failed(1, &["CREDENTIALS_INVALID"]);
    let other = resolve().env("AKA_TOKEN", &reader.text).args(["--project", "8"]).run().await;
    other.failed(1, &["PROJECT_FORBIDDEN"]);
    let create = command(&server, ["alias", "create", "bob", "alice"]);
    create.env("AKA_TOKEN", &reader.text).run().await.failed(1, &["ROLE_REQUIRED", "writer"]);
    // No server is asked.
    for (name, value) in [("AKA_TOKEN", "s3cr3t"), ("AKA_TOKEN", &reader.text[..50])] {
        let wrong = resolve().env(name, value).run().await;
        wrong.failed(2, &["USAGE", "AKA_TOKEN", "aka auth token"]);
        assert!(!wrong.stderr.contains(value), "it is never shown");
    }
    let missing = resolve().args(["--token-file", "/missing"]).run().await;
    missing.failed(2, &["USAGE", "/missing", "No such file"]);
}

#[tokio::test]
async fn a_token_comes_with_its_stanza() {
    let made = aka(["auth", "token", "the \"etl\"", "--role", "writer", "--projects", "9, 7,9"]);
    let printed = made.run().await.succeeded();
    let (token, stanza) = printed.split_once("\n\n").expect("the token comes first");
    assert!(token.starts_with("aka_") && token.len() == 53, "{printed}");
    assert!(!stanza.contains(token), "the file must not hold it");
    let file = PrincipalFile::new(stanza);
    let checked = aka(["auth", "check", &file.path()]).run().await.succeeded();
    assert_eq!(checked, "the \"etl\": writer, projects 7, 9, 1 tokens, 0 URIs\n");
    let all = aka(["auth", "token", "ops", "--role", "admin"]).run().await.succeeded();
    assert!(all.contains("role = \"admin\"\nprojects = \"*\"\n"), "{all}");
    for wrong in ["0", "x", "1,", "-1", "9223372036854775808"] {
        let refused = aka(["auth", "token", "etl", &format!("--projects={wrong}")]).run().await;
        refused.misunderstood(2, "--projects");
    }
    aka(["auth", "token", ""]).run().await.misunderstood(2, "NAME");
}
