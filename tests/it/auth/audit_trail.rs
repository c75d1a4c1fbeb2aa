//! The audit trail: a line for each admin call, whatever came of it.

use super::people::{PrincipalFile, Token, admin, resolver};
use super::{NEVER, start};
use aka_test_support::http2::{PREFACE, RST_STREAM, SETTINGS, frame, headers_of};
use aka_test_support::{Aka, bytes, create_request, eventually, resolve_request, start_with};
use aka_test_support::{Invocation, aka, backend};
use aka_wire::pb::{
    BatchCreateAliasesRequest, CreateAliasRequest, DeleteAliasRequest, GetAliasRequest,
    ListAliasesRequest, UpdateAliasRequest,
};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tonic::Request;

/// A file for the trail.
struct Trail(TempDir);

impl Trail {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder can be made"))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("audit.jsonl")
    }

    fn flag(&self) -> [String; 2] {
        ["--audit-log".to_owned(), self.path().to_str().expect("UTF-8").to_owned()]
    }

    /// Waits until there are so many lines. Each has a time and the peer; these are taken out.
    async fn lines(&self, count: usize) -> Vec<Value> {
        lines_of(&self.path(), count).await
    }
}

async fn lines_of(path: &Path, count: usize) -> Vec<Value> {
    let whole = async || {
        let text = fs::read_to_string(path).unwrap_or_default();
        (text.lines().count() >= count && text.ends_with('\n')).then_some(text)
    };
    let text = eventually("the lines are written", whole).await;
    let lines: Vec<Value> = text.lines().map(plain).collect();
    assert_eq!(lines.len(), count, "{text}");
    lines
}

fn plain(line: &str) -> Value {
    let mut line: Value = serde_json::from_str(line).expect("JSON");
    let fields = line.as_object_mut().expect("an object");
    let time = fields.remove("time").expect("a time");
    let time = time.as_str().expect("a text");
    assert!(time.len() == 27 && time.ends_with('Z') && time.starts_with("20"), "{time}");
    let peer = fields.remove("peer").expect("a peer");
    assert!(peer.as_str().expect("a text").starts_with("127.0.0.1:"), "{peer}");
    let operation = fields.remove("operation").expect("a number");
    assert!(operation.as_str().expect("a text").parse::<u64>().is_ok_and(|number| number > 0));
    assert_eq!(fields.remove("target").expect("a target"), "aka::audit");
    line
}

async fn lost(aka: &Aka) -> f64 {
    aka.metric("aka_audit_log_lines_total", &["result=\"lost\""]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_admin_call_is_one_line() {
    let (token, reader) = (Token::new().await, Token::new().await);
    let stanzas = token.stanza("etl", "writer", "[7]") + &reader.stanza("web", "reader", "[7]");
    let trail = Trail::new();
    let flags = trail.flag();
    let flags = flags.each_ref().map(|flag| &**flag);
    let (_database, aka) = start(&PrincipalFile::new(&stanzas), &flags, &[NEVER]).await;
    assert_eq!(fs::metadata(trail.path()).expect("there").permissions().mode() & 0o777, 0o600);
    let mut calls = admin(&aka, &token);
    let create = create_request(7, "bob", "alice");
    let with_reason = |message| {
        let mut request = Request::new(message);
        let reason = format!("ticket 12{}", "x".repeat(300)).parse().expect("ASCII");
        request.metadata_mut().insert("aka-reason", reason);
        request
    };
    calls.create_alias(with_reason(create.clone())).await.expect("created");
    calls.create_alias(CreateAliasRequest { dry_run: true, ..create.clone() }).await.expect("dry");
    calls.create_alias(create_request(7, "bob", "carol")).await.expect_err("taken");
    let (project_id, alias_id) = (7, bytes("bob"));
    calls
        .get_alias(GetAliasRequest { project_id, alias_id: alias_id.clone() })
        .await
        .expect("shown");
    let update = UpdateAliasRequest {
        project_id,
        alias_id: alias_id.clone(),
        canonical_id: bytes("carol"),
        expected_version: 1,
    };
    calls.update_alias(update).await.expect("updated");
    let list = ListAliasesRequest {
        project_id: 8,
        canonical_id: bytes(b"\xff\x07\n"),
        page_size: 0,
        page_token: String::new(),
    };
    calls.list_aliases(list).await.expect_err("another's project");
    let delete = DeleteAliasRequest { project_id, alias_id, expected_version: 0 };
    admin(&aka, &reader).delete_alias(delete.clone()).await.expect_err("a reader may not");
    let stranger = Token::new().await;
    admin(&aka, &stranger).delete_alias(delete.clone()).await.expect_err("nobody knows it");
    calls.delete_alias(delete).await.expect("deleted");
    let requests = vec![create_request(7, "b", "x"), create_request(8, "c", "x".repeat(300))];
    calls.batch_create_aliases(BatchCreateAliasesRequest { requests }).await.expect("a batch");
    // Lookups have no lines.
    resolver(&aka, &token).resolve(resolve_request(7, "bob")).await.expect("resolved");

    let expected = expected_lines();
    let lines = trail.lines(expected.len()).await;
    for (line, expected) in lines.iter().zip(&expected) {
        assert_eq!(line, expected);
    }
    let text = fs::read_to_string(trail.path()).expect("there");
    assert!(text.contains("\\u0007\\n") && !text.contains('\u{7}'), "control characters");
    assert!(!text.contains(&token.text) && !text.contains(&stranger.text), "a token is never kept");
    assert_eq!(lost(&aka).await, 0.0);
}

/// The lines of the calls above.
fn expected_lines() -> Vec<Value> {
    let etl = |method: &str, rest: Value| {
        let mut line = json!({"principal": "etl", "method": method});
        let fields = line.as_object_mut().expect("an object");
        fields.extend(rest.as_object().expect("an object").clone());
        line
    };
    let bob = json!({"project": 7, "alias_id": "bob"});
    let with = |rest: Value| {
        let mut fields = bob.clone();
        let all = fields.as_object_mut().expect("an object");
        all.extend(rest.as_object().expect("an object").clone());
        fields
    };
    let note = format!("ticket 12{}", "x".repeat(247));
    let first = json!({"canonical_id": "alice", "outcome": "OK", "version": 1, "note": note});
    let dry = json!({"canonical_id": "alice", "outcome": "OK", "version": 1, "dry_run": true});
    let taken =
        json!({"canonical_id": "carol", "outcome": "ALREADY_EXISTS", "reason": "ALIAS_TAKEN"});
    let moved =
        json!({"canonical_id": "carol", "outcome": "OK", "version": 2, "expected_version": 1});
    let long = format!("{}… (300 bytes)", "x".repeat(255));
    vec![
        etl("CreateAlias", with(first)),
        etl("CreateAlias", with(dry)),
        etl("CreateAlias", with(taken)),
        etl("GetAlias", with(json!({"outcome": "OK", "version": 1}))),
        etl("UpdateAlias", with(moved)),
        etl(
            "ListAliases",
            json!({"project": 8, "canonical_id": "\u{fffd}\u{7}\n", "canonical_id_base64": "/wcK",
                "outcome": "PERMISSION_DENIED", "reason": "PROJECT_FORBIDDEN"}),
        ),
        json!({"principal": "web", "method": "DeleteAlias", "outcome": "PERMISSION_DENIED",
            "reason": "ROLE_REQUIRED"}),
        json!({"principal": null, "method": "DeleteAlias", "outcome": "UNAUTHENTICATED",
            "reason": "CREDENTIALS_INVALID"}),
        etl("DeleteAlias", with(json!({"outcome": "OK", "expected_version": 0}))),
        etl(
            "BatchCreateAliases",
            json!({"outcome": "OK", "items": [
                {"project": 7, "alias_id": "b", "canonical_id": "x", "outcome": "OK", "version": 4},
                {"project": 8, "alias_id": "c", "canonical_id": long,
                    "outcome": "PERMISSION_DENIED", "reason": "PROJECT_FORBIDDEN"}
            ]}),
        ),
    ]
}

/// Nobody hides a call by leaving before its answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_has_its_line() {
    let trail = Trail::new();
    let flags = trail.flag();
    let (_database, aka) =
        start_with(backend::sqlite(), &flags.each_ref().map(|flag| &**flag)).await;
    let mut stream = TcpStream::connect(aka.grpc).expect("the server listens");
    let head = headers_of(1, "/aka.v1.AliasAdmin/DeleteAlias");
    let reset = frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes());
    stream.write_all(&[PREFACE, SETTINGS, &head].concat()).expect("the server reads");
    let begun = async || {
        let labels = ["grpc_method=\"DeleteAlias\""];
        (aka.metric("grpc_server_started_total", &labels).await == 1.0).then_some(())
    };
    eventually("the call has begun", begun).await;
    stream.write_all(&reset).expect("the server reads");
    let lines = trail.lines(1).await;
    let left = json!({"principal": null, "method": "DeleteAlias", "outcome": "CANCELLED"});
    assert_eq!(lines[0], left);
}

/// Without a file the lines are on standard error, if there are principals.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_without_a_file_are_beside_the_log() {
    let token = Token::new().await;
    let file = PrincipalFile::new(&token.stanza("etl", "writer", "[7]"));
    let (_database, aka) = start(&file, &[], &[NEVER]).await;
    let create = create_request(7, "bob", "alice");
    admin(&aka, &token).create_alias(create.clone()).await.expect("created");
    let said = async || aka.logged("\"aka::audit\"").pop();
    let line = plain(&eventually("it is written", said).await);
    assert_eq!((&line["principal"], &line["alias_id"]), (&json!("etl"), &json!("bob")));
    let quiet = ["--log", "info,aka::audit=off"];
    let (_database, aka) = start(&file, &quiet, &[NEVER]).await;
    admin(&aka, &token).create_alias(create).await.expect("created");
    let (_database, open) = start_with(backend::sqlite(), &[]).await;
    open.create(7, "bob", "alice").await.expect("created");
    for aka in [aka, open] {
        aka.stop().await;
        assert_eq!(aka.logged("aka::audit").len(), 0);
    }
}

/// What waits when the server stops is written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_is_opened_again_on_sighup_and_whole_after_a_stop() {
    let trail = Trail::new();
    let flags = trail.flag();
    let (_database, aka) =
        start_with(backend::sqlite(), &flags.each_ref().map(|flag| &**flag)).await;
    aka.create(7, "first", "alice").await.expect("created");
    trail.lines(1).await;
    let moved = trail.0.path().join("audit.jsonl.1");
    fs::rename(trail.path(), &moved).expect("it can be moved");
    aka.create(7, "second", "alice").await.expect("created");
    lines_of(&moved, 2).await;
    aka.signal(Signal::HUP);
    let reopened = async || trail.path().exists().then_some(());
    eventually("it is opened again", reopened).await;
    let reloaded = async || {
        let labels = ["what=\"audit_log\"", "result=\"ok\""];
        (aka.metric("aka_reloads_total", &labels).await == 1.0).then_some(())
    };
    eventually("it is counted", reloaded).await;
    for n in 0..100 {
        aka.create(7, format!("bob-{n}"), "alice").await.expect("created");
    }
    aka.stop().await;
    let lines = trail.lines(100).await;
    assert_eq!(lines[99]["alias_id"], "bob-99");
    assert_eq!(lines[99]["principal"], Value::Null);
    lines_of(&moved, 2).await;
}

/// A full disk delays no call: the lines are lost, and counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_loses_lines_and_delays_no_call() {
    let flags = ["--audit-log", "/dev/full"];
    let (_database, aka) = start_with(backend::sqlite(), &flags).await;
    for n in 0..10 {
        aka.create(7, format!("bob-{n}"), "alice").await.expect("created");
    }
    eventually("they are counted", async || (lost(&aka).await == 10.0).then_some(())).await;
    assert_eq!(aka.logged("lines of the audit trail are lost").len(), 1, "it is said once");
    assert_eq!(aka.metric("aka_audit_log_lines_total", &["result=\"written\""]).await, 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_gives_a_reason() {
    let trail = Trail::new();
    let flags = trail.flag();
    let (_database, server) =
        start_with(backend::sqlite(), &flags.each_ref().map(|flag| &**flag)).await;
    let create = |reason: &str| -> Invocation {
        let url = format!("http://{}", server.grpc);
        aka(["alias", "create", "bob", "alice", "--project", "7", "--reason", reason])
            .env("AKA_SERVER", url)
    };
    create("ticket 12").run().await.succeeded();
    create("ticket\n12").run().await.misunderstood(2, "--reason");
    assert_eq!(trail.lines(1).await[0]["note"], "ticket 12");
}
