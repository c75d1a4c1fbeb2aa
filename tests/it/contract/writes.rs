//! The meaning of a write: each case of the table in `docs/design.md`, section 2.

use aka_test_support::{
    Aka, Backend, Database, PROJECT, assert_refused, check_is_clean, invariants, start,
};
use aka_wire::pb::{Alias, CreateAliasResponse};
use std::collections::BTreeMap;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

on_backends!(creates_follow_the_table);
on_backends!(updates_follow_the_table);
on_backends!(deletes_and_gets_follow_the_table);
on_backends!(the_sweeper_frees_an_id_that_a_dead_write_pinned: sqlite mysql_3);

/// A create, and its expected outcome. The cases build on each other.
struct Case {
    why: &'static str,
    alias: &'static str,
    canonical: &'static str,
    answer: Answer,
}

#[derive(Clone, Copy)]
enum Answer {
    /// Created, with this canonical id at the end.
    Created(&'static str),
    /// `created = false`, with this canonical id.
    Unchanged(&'static str),
    /// `ALIAS_TAKEN`, by this canonical id.
    Taken(&'static str),
    /// Refused with this code and reason.
    Refused(Code, &'static str),
    /// Refused for this reason, with a BadRequest that names this field.
    Invalid(&'static str, &'static str),
    /// `RETRY_LATER`, with a RetryInfo.
    RetryLater,
}

const CREATES: [Case; 19] = {
    use Answer::{Created, Invalid, Refused, RetryLater, Taken, Unchanged};
    const fn case(
        why: &'static str,
        alias: &'static str,
        canonical: &'static str,
        answer: Answer,
    ) -> Case {
        Case { why, alias, canonical, answer }
    }
    const SELF: Answer = Invalid("SELF_ALIAS", "canonical_id");
    const CANONICAL: Answer = Refused(Code::FailedPrecondition, "ALIAS_IS_CANONICAL");
    [
        case("a new alias", "bob", "alice", Created("alice")),
        case("another of the same canonical id", "carol", "alice", Created("alice")),
        case("the same again", "bob", "alice", Unchanged("alice")),
        case("with another canonical id", "bob", "erin", Taken("alice")),
        case("with another, which has aliases", "mallory", "erin", Created("erin")),
        case("which does not matter", "bob", "erin", Taken("alice")),
        case("an alias for canonical id", "frank", "bob", Created("alice")),
        case("the same, followed again", "frank", "bob", Unchanged("alice")),
        case("by way of another alias", "frank", "carol", Unchanged("alice")),
        case("by its end", "frank", "alice", Unchanged("alice")),
        case("an end that is not its own", "frank", "mallory", Taken("alice")),
        case("an alias id that is canonical", "alice", "zoe", CANONICAL),
        case("which has aliases, too", "alice", "erin", CANONICAL),
        case("that follows to another's end", "alice", "mallory", CANONICAL),
        case("itself", "nobody-yet", "nobody-yet", SELF),
        case("itself, although it is canonical", "alice", "alice", SELF),
        case("a follow that ends at itself", "alice", "bob", SELF),
        case("itself, although it is an alias", "bob", "bob", SELF),
        case("an alias id that an unfinished write pins", "haunted", "zoe", RetryLater),
    ]
};

async fn creates_follow_the_table(backend: Backend) {
    let (database, aka) = start(backend).await;
    database.plant_orphan(PROJECT, "haunted", "ghost", 0).await;
    for case in CREATES {
        let Case { why, alias, canonical, answer } = case;
        println!("{why}: {alias} -> {canonical}");
        let before = database.tables().await;
        let dry = aka.dry_run(PROJECT, alias, canonical).await;
        assert_eq!(database.tables().await, before, "a dry run wrote");
        let wet = aka.create(PROJECT, alias, canonical).await;
        assert_same(dry, &wet);
        assert_answer(&aka, &case, wet).await;
        let written = database.tables().await != before;
        assert_eq!(written, matches!(answer, Answer::Created(_)), "whether anything was written");
    }
    // An id that an orphan pins may become canonical. It cannot become an alias then.
    aka.create(PROJECT, "hugo", "haunted").await.expect("created");
    let refused = aka.create(PROJECT, "haunted", "zoe").await.expect_err("it is canonical");
    assert_refused(&refused, Code::FailedPrecondition, "ALIAS_IS_CANONICAL");
    assert_eq!(aka.list_all(PROJECT, "haunted", 0).await, ["hugo"], "the orphan is left out");
    invariants::assert_hold(&database, true).await;
}

/// Checks that a dry run got the same answer as the write, except for the token and the version.
fn assert_same(
    dry: Result<CreateAliasResponse, Status>,
    wet: &Result<CreateAliasResponse, Status>,
) {
    match (dry, wet) {
        (Ok(dry), Ok(wet)) => {
            assert_eq!(dry.consistency_token, "", "a dry run returns no token");
            assert_ne!(wet.consistency_token, "", "a write returns a token");
            assert_eq!(dry.created, wet.created);
            let (dry, wet) = (dry.alias.expect("an alias"), wet.alias.clone().expect("an alias"));
            if dry.version == 0 {
                let ids = |alias: Alias| (alias.project_id, alias.alias_id, alias.canonical_id);
                assert_eq!(ids(dry), ids(wet));
            } else {
                assert_eq!(dry, wet, "an alias that was there is shown as it is");
            }
        }
        (Err(dry), Err(wet)) => {
            let all = |status: &Status| {
                (status.code(), status.message().to_owned(), parts(&status.get_error_details()))
            };
            assert_eq!(all(&dry), all(wet));
        }
        (dry, wet) => panic!("a dry run answers {dry:?}, the write {wet:?}"),
    }
}

/// All details of an error, in a form that can be compared.
fn parts(details: &ErrorDetails) -> impl PartialEq + std::fmt::Debug + use<> {
    let info = details.error_info().cloned().expect("ErrorInfo");
    let metadata: BTreeMap<_, _> = info.metadata.into_iter().collect();
    let others = format!("{:?} {:?}", details.bad_request(), details.retry_info());
    (info.reason, info.domain, metadata, others)
}

async fn assert_answer(aka: &Aka, case: &Case, answer: Result<CreateAliasResponse, Status>) {
    let (alias, refused) = match (answer, case.answer) {
        (Ok(answer), Answer::Created(end) | Answer::Unchanged(end)) => {
            assert_eq!(answer.created, matches!(case.answer, Answer::Created(_)));
            let alias = answer.alias.expect("an alias");
            assert_eq!((alias.project_id, &*alias.alias_id), (PROJECT, case.alias.as_bytes()));
            assert_eq!(alias.canonical_id, end, "the canonical id that is returned");
            assert!(alias.version > 0 && alias.create_time.is_some());
            assert_eq!(alias.create_time, alias.update_time);
            let resolved = aka.resolve(PROJECT, case.alias).await.expect("resolved");
            assert_eq!((&*resolved.canonical_id, resolved.is_alias), (end.as_bytes(), true));
            return assert_eq!(aka.get(PROJECT, case.alias).await.expect("an alias"), alias);
        }
        (Ok(answer), _) => panic!("not refused: {answer:?}"),
        (Err(refused), _) => (case.alias, refused),
    };
    match case.answer {
        Answer::Created(_) | Answer::Unchanged(_) => panic!("refused: {refused:?}"),
        Answer::Taken(by) => {
            let details = assert_refused(&refused, Code::AlreadyExists, "ALIAS_TAKEN");
            let metadata = &details.error_info().expect("ErrorInfo").metadata;
            let version = aka.get(PROJECT, alias).await.expect("an alias").version;
            assert_eq!(metadata["canonical_id"], by);
            assert_eq!(metadata["version"], version.to_string());
        }
        Answer::Refused(code, reason) => drop(assert_refused(&refused, code, reason)),
        Answer::Invalid(reason, field) => {
            let details = assert_refused(&refused, Code::InvalidArgument, reason);
            super::invalid::assert_field(&details, field);
        }
        Answer::RetryLater => {
            let details = assert_refused(&refused, Code::Aborted, "RETRY_LATER");
            assert!(details.retry_info().is_some_and(|info| info.retry_delay.is_some()));
        }
    }
}

async fn updates_follow_the_table(backend: Backend) {
    let (database, aka) = start(backend).await;
    for (alias, canonical) in [("bob", "alice"), ("carol", "alice"), ("frank", "erin")] {
        aka.create(PROJECT, alias, canonical).await.expect("created");
    }
    let created = aka.get(PROJECT, "bob").await.expect("an alias");
    let version = created.version;

    let refused = aka.update(PROJECT, "bob", "erin", 0).await.expect_err("blind");
    let details = assert_refused(&refused, Code::InvalidArgument, "VERSION_REQUIRED");
    super::invalid::assert_field(&details, "expected_version");
    assert_stale(aka.update(PROJECT, "bob", "erin", version + 1_000).await, version);
    for nobody in ["nobody", "alice"] {
        let refused = aka.update(PROJECT, nobody, "erin", version).await.expect_err("no alias");
        assert_refused(&refused, Code::NotFound, "ALIAS_NOT_FOUND");
    }
    let refused = aka.update(PROJECT, "bob", "bob", version).await.expect_err("itself");
    assert_refused(&refused, Code::InvalidArgument, "SELF_ALIAS");
    // An update to the canonical id that it has, by either name, with any version.
    let before = database.tables().await;
    for (canonical, version) in [("alice", version), ("alice", version + 1_000), ("carol", 1)] {
        let same = aka.update(PROJECT, "bob", canonical, version).await.expect("nothing to do");
        assert_eq!(same.alias.as_ref(), Some(&created));
        assert_ne!(same.consistency_token, "");
    }
    assert_eq!(database.tables().await, before, "nothing to write was written");

    // To another, by way of that one's alias.
    let updated = aka.update(PROJECT, "bob", "frank", version).await.expect("updated");
    assert_ne!(updated.consistency_token, "");
    let updated = updated.alias.expect("an alias");
    assert_eq!((&*updated.alias_id, &*updated.canonical_id), (&b"bob"[..], &b"erin"[..]));
    assert_ne!(updated.version, version, "a change is a new version");
    assert_eq!(updated.create_time, created.create_time);
    assert_eq!(aka.get(PROJECT, "bob").await.expect("an alias"), updated);
    assert_eq!(aka.resolve(PROJECT, "bob").await.expect("resolved").canonical_id, "erin");
    assert_eq!(aka.list_all(PROJECT, "erin", 0).await, ["bob", "frank"]);
    assert_eq!(aka.list_all(PROJECT, "alice", 0).await, ["carol"]);
    // Repeating the update succeeds. Another update with the old version does not.
    let again = aka.update(PROJECT, "bob", "frank", version).await.expect("done already");
    assert_eq!(again.alias, Some(updated.clone()));
    assert_stale(aka.update(PROJECT, "bob", "alice", version).await, updated.version);

    // Released ids are free: in the end, alice has no aliases.
    let carol = aka.get(PROJECT, "carol").await.expect("an alias").version;
    aka.update(PROJECT, "carol", "erin", carol).await.expect("updated");
    aka.create(PROJECT, "alice", "bob").await.expect("alice is free");
    assert_eq!(aka.list_all(PROJECT, "erin", 0).await, ["alice", "bob", "carol", "frank"]);
    invariants::assert_hold(&database, false).await;
    check_is_clean(&database).await;
}

async fn deletes_and_gets_follow_the_table(backend: Backend) {
    let (database, aka) = start(backend).await;
    let created = aka.create(PROJECT, "bob", "alice").await.expect("created");
    let created = created.alias.expect("an alias");
    for nobody in ["nobody", "alice"] {
        let refused = aka.delete(PROJECT, nobody, 0).await.expect_err("no alias");
        assert_refused(&refused, Code::NotFound, "ALIAS_NOT_FOUND");
        let refused = aka.get(PROJECT, nobody).await.expect_err("no alias");
        assert_refused(&refused, Code::NotFound, "ALIAS_NOT_FOUND");
    }
    assert_stale(aka.delete(PROJECT, "bob", created.version + 1_000).await, created.version);
    assert_eq!(aka.get(PROJECT, "bob").await.expect("still there"), created);

    let deleted = aka.delete(PROJECT, "bob", created.version).await.expect("deleted");
    assert_ne!(deleted.consistency_token, "");
    let resolved = aka.resolve(PROJECT, "bob").await.expect("resolved");
    assert_eq!((&*resolved.canonical_id, resolved.is_alias), (&b"bob"[..], false));
    let refused = aka.delete(PROJECT, "bob", created.version).await.expect_err("gone");
    assert_refused(&refused, Code::NotFound, "ALIAS_NOT_FOUND");
    let tables = database.tables().await;
    assert!(tables.iter().all(|shard| shard.forward.is_empty() && shard.inverse.is_empty()));

    // Both ids are free again, and an alias that comes back is not the one that went.
    let back = aka.create(PROJECT, "bob", "alice").await.expect("created").alias;
    assert_ne!(back.expect("an alias").version, created.version);
    aka.delete(PROJECT, "bob", 0).await.expect("any version");
    aka.create(PROJECT, "alice", "bob").await.expect("the other way round");
    invariants::assert_hold(&database, false).await;
    check_is_clean(&database).await;
}

#[track_caller]
fn assert_stale<T: std::fmt::Debug>(answer: Result<T, Status>, current: u64) {
    let refused = answer.expect_err("a stale version");
    let details = assert_refused(&refused, Code::Aborted, "VERSION_MISMATCH");
    let metadata = &details.error_info().expect("ErrorInfo").metadata;
    assert_eq!(metadata["version"], current.to_string());
}

async fn the_sweeper_frees_an_id_that_a_dead_write_pinned(backend: Backend) {
    let database = Database::create(backend).await;
    let aka = Aka::serve(&database, &["--sweep-pause-ms", "20"]).await;
    aka.create(PROJECT, "bob", "alice").await.expect("created");
    database.plant_orphan(PROJECT, "haunted", "ghost", 7_200).await;
    database.plant_orphan(PROJECT, "alice", "ghost", 7_200).await;
    database.plant_orphan(PROJECT, "fresh", "ghost", 60).await;
    // An old pin with an alias stays.
    for shard in 0..database.shards() {
        let age = "UPDATE canonical SET create_time_us = create_time_us - 7200000000 \
                   WHERE alias_id = x'626f62'";
        database.connect(shard).await.execute(age).await;
    }
    aka_test_support::eventually("the old orphans are removed", async || {
        let removed = aka.metric("aka_orphans_removed_total", &[]).await;
        let left: usize = database.tables().await.iter().map(|shard| shard.inverse.len()).sum();
        (removed == 2.0 && left == 2).then_some(())
    })
    .await;
    aka.create(PROJECT, "haunted", "alice").await.expect("free");
    assert_eq!(aka.list_all(PROJECT, "alice", 0).await, ["bob", "haunted"]);
    let refused = aka.create(PROJECT, "fresh", "alice").await.expect_err("it may be under way");
    assert_refused(&refused, Code::Aborted, "RETRY_LATER");
    invariants::assert_hold(&database, true).await;
}
