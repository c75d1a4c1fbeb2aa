//! What ends a start, and what is said of tokens in clear text.

use super::people::{PrincipalFile, Token, stanza};
use aka_test_support::{Invocation, aka};
use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;

fn serve(file: &PrincipalFile) -> Invocation {
    // The database cannot be made, so that a start that is not refused leaves nothing behind.
    aka(["serve", "--metrics-listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"]).args([
        "--sqlite",
        "/dev/null/aka.db",
        "--auth-file",
        &file.path(),
    ])
}

#[tokio::test]
async fn a_file_that_cannot_be_used_ends_the_start() {
    let (token, other) = (Token::new().await, Token::new().await);
    let with = |more: &str| stanza("etl", "reader", "[7]", more);
    let hash = format!("token_sha256 = [\"{}\"]", token.hash);
    let spiffe = "spiffe = [\"spiffe://aka/etl\"]";
    let etl = "principal \"etl\"";
    for (text, parts) in [
        (String::new(), &["holds no [[principal]]"][..]),
        ("[[principals]]".to_owned(), &["no key \"principals\""]),
        ("principal = 1".to_owned(), &["[[principal]]"]),
        ("[[principal]]\nrole = \"reader\"".to_owned(), &["principal 1 has no name"]),
        ("[[principal]]\nname = \"\"".to_owned(), &["principal 1", "name must be"]),
        (with("roles = 1"), &[etl, "a key \"roles\""]),
        (with("").replace("reader", "root"), &[etl, "\"reader\", \"writer\" or \"admin\""]),
        (with("").replace("role = \"reader\"\n", ""), &[etl, "has no role"]),
        (with("").replace("projects = [7]\n", ""), &[etl, "has no projects"]),
        (with("").replace("[7]", "[]"), &[etl, "projects"]),
        (with("").replace("[7]", "[0]"), &[etl, "numbers above 0"]),
        (with("").replace("[7]", "[7, 7]"), &[etl, "a project twice"]),
        (with("").replace("[7]", "\"7\""), &[etl, "\"*\""]),
        (with("token_sha256 = [\"abc\"]"), &[etl, "64 hexadecimal digits"]),
        (with("token_sha256 = \"abc\""), &[etl, "a list"]),
        (with(&hash.replace(&token.hash, &token.text)), &[etl, "a token itself"]),
        (with("spiffe = [\"https://aka\"]"), &[etl, "spiffe://"]),
        (with("not_after = \"2030-01-01\""), &[etl, "not_after", "its zone"]),
        (with("not_after = 2030-01-01"), &[etl, "not_after", "its zone"]),
        (with("") + &with(""), &[etl, "a name", "twice"]),
        (
            with(&hash) + &token.stanza("other", "reader", "[7]"),
            &["principal \"other\"", "a token_sha256", "twice"],
        ),
        (
            with(spiffe) + &stanza("other", "reader", "[7]", spiffe),
            &["principal \"other\"", "a URI", "twice"],
        ),
        (with(&format!("token_sha256 = [{}]", "\"x\", ".repeat(17))), &[etl, "more than 16"]),
        (format!("# {}", "x".repeat(5 << 20)), &["longer than 4 MiB"]),
    ] {
        let file = PrincipalFile::new(&text);
        let ended = serve(&file).run().await;
        ended.failed(64, parts);
        assert!(!ended.stderr.contains(&token.text), "a token is never shown");
        let checked = aka(["auth", "check", &file.path()]).run().await;
        checked.failed(64, parts);
    }
    let file = PrincipalFile::new(&other.stanza("etl", "reader", "[7]"));
    set_permissions(file.path(), Permissions::from_mode(0o666)).expect("its owner may");
    serve(&file).run().await.failed(64, &["mode 666", "chmod go-w"]);
    let missing = ["serve", "--sqlite", "/dev/null/aka.db", "--auth-file", "/missing"];
    aka(missing).run().await.failed(64, &["/missing", "cannot be read"]);
    aka(missing).args(["--print-config"]).run().await.failed(64, &["/missing"]);
}

#[tokio::test]
async fn principals_alone_open_a_port_with_a_warning() {
    let token = Token::new().await;
    let principals = PrincipalFile::new(&token.stanza("etl", "reader", "[7]"));
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("aka.db");
    let serve = |listen: &str| {
        aka(["serve", "--metrics-listen", "127.0.0.1:0", "--listen", listen, "--sqlite"])
            .args([file.as_os_str()])
            .args(["--auth-file", &principals.path()])
    };
    let warned = |log: &str| log.matches("sent in clear text").count();
    let ended = serve("0.0.0.0:0").serve().await.stop().await;
    assert_eq!((ended.code, warned(&ended.stderr)), (Some(0), 1), "{ended}");
    let ended = serve("127.0.0.1:0").serve().await.stop().await;
    assert_eq!((ended.code, warned(&ended.stderr)), (Some(0), 0), "{ended}");
    let shown = serve("127.0.0.1:0").args(["--print-config"]).run().await.succeeded();
    assert!(shown.contains("auth_file = ") && !shown.contains(&token.hash), "{shown}");
}

#[tokio::test]
async fn an_audit_log_that_cannot_be_opened_ends_the_start() {
    let file = PrincipalFile::new(&Token::new().await.stanza("etl", "reader", "[7]"));
    let ended = serve(&file).args(["--audit-log", "/missing/audit.jsonl"]).run().await;
    ended.failed(64, &["/missing/audit.jsonl", "cannot be opened"]);
}
