//! The change log says who made a change, and why.

use super::people::{Bearer, PrincipalFile, Token};
use aka_test_support::{Aka, Backend, Database, Raw, create_request};
use aka_wire::pb::BatchCreateAliasesRequest;
use aka_wire::pb::alias_admin_client::AliasAdminClient;
use serde_json::Value;
use std::fmt::Write;
use tonic::Request;

on_backends!(changes_have_an_author: sqlite mysql_1 mariadb_1);

/// How many lines of the log have this author.
async fn count(shard: &mut Raw, principal: &str, reason: &str, operation: &str) -> i64 {
    let hex = |text: &str| {
        text.bytes().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("a string");
            hex
        })
    };
    let sql = format!(
        "SELECT COUNT(*) FROM alias_change WHERE principal = x'{}' AND reason = x'{}' \
         AND operation_id = {operation}",
        hex(principal),
        hex(reason)
    );
    shard.number(&sql).await
}

async fn changes_have_an_author(backend: Backend) {
    let token = Token::new().await;
    let name = "n".repeat(128);
    let file = PrincipalFile::new(&token.stanza(&name, "writer", "[7]"));
    let database = Database::create(backend).await;
    let trail = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    let (auth, audit) = (file.path(), trail.path().to_str().expect("UTF-8").to_owned());
    let aka = Aka::serve(&database, &["--auth-file", &auth, "--audit-log", &audit]).await;
    let mut calls = AliasAdminClient::with_interceptor(aka.channel(), Bearer::of(&token.text));
    let requests = (0..3).map(|n| create_request(7, format!("bob-{n}"), "alice")).collect();
    let mut batch = Request::new(BatchCreateAliasesRequest { requests });
    // Bytes that are no text are replaced, and cut to what the column holds.
    let reason = [&[0xff; 60][..], &[b'x'; 200]].concat();
    let header = http::HeaderValue::from_bytes(&reason).expect("a header");
    let mut headers = http::HeaderMap::new();
    headers.insert("aka-reason", header);
    *batch.metadata_mut() = tonic::metadata::MetadataMap::from_headers(headers);
    calls.batch_create_aliases(batch).await.expect("a batch");
    calls.create_alias(create_request(7, "carol", "alice")).await.expect("created");
    aka.stop().await;
    let lines = std::fs::read_to_string(trail.path()).expect("the trail can be read");
    let lines: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let operation = |index: usize| lines[index]["operation"].as_str().expect("a number");
    assert_ne!(operation(0), operation(1), "each call is one operation");
    let reason = format!("{}{}", "\u{fffd}".repeat(60), "x".repeat(76));
    assert_eq!(lines[0]["note"], reason.as_str());
    let mut shard = database.connect(0).await;
    assert_eq!(count(&mut shard, &name, &reason, operation(0)).await, 3);
    let sql = "SELECT COUNT(*) FROM alias_change WHERE principal IS NOT NULL AND reason IS NULL";
    assert_eq!(shard.number(sql).await, 1, "the other call gave no reason");
}
