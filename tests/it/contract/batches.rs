//! Creating many aliases at once: each is answered on its own, as if sent one by one.

use aka_test_support::{
    Aka, Backend, PROJECT, assert_refused, check_is_clean, create_request, invariants, start,
};
use aka_wire::pb::{CreateAliasRequest, CreateAliasResult};
use tonic::Code;

on_backends!(each_is_answered_on_its_own);
on_backends!(dependent_items_take_effect_in_order);
on_backends!(a_batch_holds_a_thousand);

/// A result in short: the canonical id and `created`, or the reason of the refusal.
fn short(result: &CreateAliasResult) -> String {
    match (&result.response, &result.failure) {
        (Some(answer), None) => {
            let alias = answer.alias.as_ref().expect("an alias");
            let canonical = String::from_utf8_lossy(&alias.canonical_id).into_owned();
            let what = if answer.created { "created" } else { "unchanged" };
            format!("{what} {canonical}")
        }
        (None, Some(failure)) => failure.reason.clone(),
        both => panic!("exactly one of the two is set, not {both:?}"),
    }
}

async fn create_all(aka: &Aka, requests: Vec<CreateAliasRequest>) -> Vec<String> {
    let answer = aka.create_all(requests).await.expect("a batch");
    answer.results.iter().map(short).collect()
}

async fn each_is_answered_on_its_own(backend: Backend) {
    let (database, aka) = start(backend).await;
    aka.create(PROJECT, "bob", "alice").await.expect("created");
    let version = aka.get(PROJECT, "bob").await.expect("an alias").version;
    let dry = |alias: &str, canonical: &str| CreateAliasRequest {
        dry_run: true,
        ..create_request(PROJECT, alias, canonical)
    };
    let requests = vec![
        create_request(PROJECT, "new-1", "alice"),
        create_request(PROJECT, "bob", "erin"),
        create_request(PROJECT, "", "alice"),
        create_request(0, "new-2", "alice"),
        create_request(PROJECT, "null", "alice"),
        create_request(PROJECT, "self", "self"),
        create_request(PROJECT, "alice", "zoe"),
        create_request(PROJECT, "new-3", "bob"),
        create_request(PROJECT + 1, "alice", "bob"),
        dry("dry", "alice"),
        create_request(PROJECT, "bob", "alice"),
    ];
    let answer = aka.create_all(requests).await.expect("a batch");
    let shorts: Vec<String> = answer.results.iter().map(short).collect();
    let expected = [
        "created alice",
        "ALIAS_TAKEN",
        "INVALID_ID",
        "INVALID_PROJECT",
        "PLACEHOLDER_ID",
        "SELF_ALIAS",
        "ALIAS_IS_CANONICAL",
        "created alice",
        "created bob",
        "created alice",
        "unchanged alice",
    ];
    assert_eq!(shorts, expected);
    for (index, result) in answer.results.iter().enumerate() {
        if let Some(failure) = &result.failure {
            assert_eq!(failure.index as usize, index);
            assert_ne!(failure.code, Code::Ok as i32);
            assert!(!failure.message.is_empty());
        }
        if let Some(response) = &result.response {
            assert_eq!(response.consistency_token.is_empty(), index == 9, "but for the dry run");
        }
    }
    let taken = answer.results[1].failure.as_ref().expect("a failure");
    assert_eq!(taken.code, Code::AlreadyExists as i32);
    assert_eq!(taken.metadata["canonical_id"], "alice");
    assert_eq!(taken.metadata["version"], version.to_string());

    // The token of the batch covers all of its writes.
    assert_ne!(answer.consistency_token, "");
    let other = Aka::serve(&database, &[]).await;
    for id in ["new-1", "new-3"] {
        let token = &answer.consistency_token;
        let resolved = other.resolve_as_of(PROJECT, id, token).await.expect("resolved");
        assert_eq!(resolved.canonical_id, "alice");
    }
    assert!(!aka.resolve(PROJECT, "dry").await.expect("resolved").is_alias);
    let dry = aka.create_all(vec![dry("dry", "alice")]).await.expect("a batch");
    assert_eq!(dry.consistency_token, "", "nothing was written, or found written");
    invariants::assert_hold(&database, false).await;
}

async fn dependent_items_take_effect_in_order(backend: Backend) {
    let (database, aka) = start(backend).await;
    let pairs = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(alias, canonical)| create_request(PROJECT, alias, canonical)).collect()
    };
    // Duplicates, a chain from its end, a chain from its start, and a circle.
    let answers = create_all(&aka, pairs(&[("a", "b"), ("a", "b"), ("a", "c"), ("a", "b")])).await;
    assert_eq!(answers, ["created b", "unchanged b", "ALIAS_TAKEN", "unchanged b"]);
    let answers = create_all(&aka, pairs(&[("d", "e"), ("f", "d"), ("g", "f"), ("h", "g")])).await;
    assert_eq!(answers, ["created e"; 4]);
    let answers = create_all(&aka, pairs(&[("i", "j"), ("j", "k"), ("k", "l")])).await;
    assert_eq!(answers, ["created j", "ALIAS_IS_CANONICAL", "created l"]);
    let answers = create_all(&aka, pairs(&[("m", "n"), ("n", "o"), ("n", "m"), ("o", "m")])).await;
    assert_eq!(answers, ["created n", "ALIAS_IS_CANONICAL", "SELF_ALIAS", "created n"]);

    let long: Vec<_> =
        (0..50).map(|n| (format!("chain-{}", n + 1), format!("chain-{n}"))).collect();
    let long = long.iter().map(|(alias, to)| create_request(PROJECT, alias, to)).collect();
    assert_eq!(create_all(&aka, long).await, vec!["created chain-0"; 50]);
    invariants::assert_hold(&database, false).await;
    check_is_clean(&database).await;
}

async fn a_batch_holds_a_thousand(backend: Backend) {
    let (database, aka) = start(backend).await;
    let requests = |count: u32| -> Vec<_> {
        let alias =
            |n| create_request(PROJECT, format!("alias-{n}"), format!("person-{}", n / 100));
        (0..count).map(alias).collect()
    };
    let refused = aka.create_all(requests(1_001)).await.expect_err("one too many");
    assert_refused(&refused, Code::InvalidArgument, "BATCH_TOO_LARGE");
    assert!(database.tables().await.iter().all(|shard| shard.clock.0 == 0), "none was written");
    let answer = aka.create_all(requests(1_000)).await.expect("a batch");
    for (index, result) in answer.results.iter().enumerate() {
        assert_eq!(short(result), format!("created person-{}", index / 100));
        let alias = result.response.as_ref().and_then(|answer| answer.alias.as_ref());
        assert_eq!(alias.expect("an alias").alias_id, format!("alias-{index}"), "in order");
    }
    let empty = aka.create_all(Vec::new()).await.expect("an empty batch");
    assert!(empty.results.is_empty());
    invariants::assert_hold(&database, false).await;
}
