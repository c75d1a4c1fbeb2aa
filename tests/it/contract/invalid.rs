//! Refusals before any database query: ids, projects and placeholders of writes.

use aka_test_support::{Aka, Backend, Database, PROJECT, assert_refused, start};
use tonic::{Code, Status};
use tonic_types::ErrorDetails;

on_backends!(invalid_arguments_are_refused: sqlite mysql_3);
on_backends!(the_list_of_placeholders_is_configurable: sqlite);

/// Checks that the BadRequest names this field and describes the fault.
#[track_caller]
pub fn assert_field(details: &ErrorDetails, field: &str) {
    let violations = &details.bad_request().expect("a BadRequest").field_violations;
    let named: Vec<&str> = violations.iter().map(|violation| &*violation.field).collect();
    assert_eq!(named, [field]);
    assert!(!violations[0].description.is_empty());
}

#[track_caller]
fn assert_invalid<T: std::fmt::Debug>(answer: Result<T, Status>, reason: &str, field: &str) {
    let refused = answer.expect_err(reason);
    assert_field(&assert_refused(&refused, Code::InvalidArgument, reason), field);
}

async fn invalid_arguments_are_refused(backend: Backend) {
    let (database, aka) = start(backend).await;
    let long = [b'x'; 256];
    let bad_ids: [&[u8]; 9] = [
        b"",
        &long,
        b"\xff",
        b"caf\xc3",
        b"a\0b",
        b"line\n",
        b"\x1f",
        b"del\x7f",
        "c1\u{85}".as_bytes(),
    ];
    for id in bad_ids {
        assert_ids_refused(&aka, id, "INVALID_ID").await;
        assert_invalid(aka.delete(PROJECT, id, 0).await, "INVALID_ID", "alias_id");
        assert_invalid(aka.get(PROJECT, id).await, "INVALID_ID", "alias_id");
        assert_invalid(aka.list(PROJECT, id, 0, "").await, "INVALID_ID", "canonical_id");
    }
    let placeholders = [
        "anonymous",
        "Anonymous",
        "null",
        "NULL",
        "undefined",
        "\"undefined\"",
        "'null'",
        "00000000-0000-0000-0000-000000000000",
        "[object Object]",
        "\"[object Object]\"",
    ];
    for id in placeholders {
        assert_ids_refused(&aka, id.as_bytes(), "PLACEHOLDER_ID").await;
    }
    for project in [0, 1 << 63, u64::MAX] {
        let [reason, field] = ["INVALID_PROJECT", "project_id"];
        assert_invalid(aka.create(project, "bob", "alice").await, reason, field);
        assert_invalid(aka.dry_run(project, "bob", "alice").await, reason, field);
        assert_invalid(aka.update(project, "bob", "alice", 1).await, reason, field);
        assert_invalid(aka.delete(project, "bob", 0).await, reason, field);
        assert_invalid(aka.get(project, "bob").await, reason, field);
        assert_invalid(aka.list(project, "alice", 0, "").await, reason, field);
    }
    let tables = database.tables().await;
    assert!(tables.iter().all(|shard| shard.clock.0 == 0 && shard.inverse.is_empty()));
    let greatest = (1 << 63) - 1;
    aka.create(greatest, "bob", "alice").await.expect("the greatest project");
    assert_eq!(aka.resolve(greatest, "bob").await.expect("resolved").canonical_id, "alice");
}

async fn assert_ids_refused(aka: &Aka, id: &[u8], reason: &str) {
    println!("{reason}: {:?}", String::from_utf8_lossy(id));
    assert_invalid(aka.create(PROJECT, id, "alice").await, reason, "alias_id");
    assert_invalid(aka.create(PROJECT, "bob", id).await, reason, "canonical_id");
    assert_invalid(aka.dry_run(PROJECT, id, "alice").await, reason, "alias_id");
    assert_invalid(aka.update(PROJECT, id, "alice", 1).await, reason, "alias_id");
    assert_invalid(aka.update(PROJECT, "bob", id, 1).await, reason, "canonical_id");
}

async fn the_list_of_placeholders_is_configurable(backend: Backend) {
    let database = Database::create(backend).await;
    let aka = Aka::serve(&database, &[]).await;
    aka.create(PROJECT, "test-user", "alice").await.expect("no placeholder yet");
    aka.stop().await;

    let aka = Aka::serve(&database, &["--placeholder", "Test-User"]).await;
    let refused = aka.create(PROJECT, "bob", "'test-USER'").await;
    assert_invalid(refused, "PLACEHOLDER_ID", "canonical_id");
    aka.create(PROJECT, "null", "alice").await.expect("the list is replaced");
    let resolved = aka.resolve(PROJECT, "test-user").await.expect("resolved");
    assert_eq!((&*resolved.canonical_id, resolved.is_alias), (&b"test-user"[..], false));
    // An alias that is older than the placeholder can be shown and deleted.
    assert_eq!(aka.get(PROJECT, "test-user").await.expect("shown").canonical_id, "alice");
    aka.delete(PROJECT, "test-user", 0).await.expect("deleted");
}
