//! The read rules: an id never fails a read, and a batch answer is sparse.

use aka_test_support::{
    Aka, Backend, PROJECT, assert_refused, batch_request, bytes, create_request, start,
};
use bytes::Bytes;
use tonic::{Code, Status};

on_backends!(no_id_fails_a_read);
on_backends!(a_batch_answer_is_sparse);
on_backends!(a_stream_answers_in_order);

/// Ids that cannot be aliases. Each is answered unchanged.
fn ids_that_cannot_be_aliases() -> Vec<Bytes> {
    let mut ids: Vec<Bytes> =
        ["", "null", "'Anonymous'", "a\0b", "tab\t", "\u{7f}", "\u{9f}"].map(bytes).to_vec();
    ids.extend(
        [vec![b'x'; 256], vec![b'y'; 20_000], b"\xff\xfe".to_vec(), b"caf\xc3".to_vec()].map(bytes),
    );
    ids
}

#[track_caller]
fn assert_invalid<T: std::fmt::Debug>(answer: Result<T, Status>, reason: &str, field: &str) {
    let details = assert_refused(&answer.expect_err(reason), Code::InvalidArgument, reason);
    super::invalid::assert_field(&details, field);
}

async fn no_id_fails_a_read(backend: Backend) {
    let (_database, aka) = start(backend).await;
    aka.create(PROJECT, "bob", "alice").await.expect("created");
    let queries = aka.lookup_queries().await;
    for id in ids_that_cannot_be_aliases() {
        let resolved = aka.resolve(PROJECT, &id).await.expect("resolved");
        assert_eq!(
            (resolved.canonical_id, resolved.is_alias, resolved.degraded),
            (id, false, false)
        );
    }
    let answer = aka.batch_resolve(PROJECT, ids_that_cannot_be_aliases()).await.expect("resolved");
    assert!(answer.aliases.is_empty() && answer.failures.is_empty() && !answer.degraded);
    assert_eq!(aka.lookup_queries().await, queries, "no query is spent on them");

    // An id that is not UTF-8 does not fail its batch.
    let mut ids = ids_that_cannot_be_aliases();
    ids.insert(3, bytes("bob"));
    let answer = aka.batch_resolve(PROJECT, ids).await.expect("resolved");
    let aliases: Vec<_> =
        answer.aliases.iter().map(|found| (found.index, &*found.canonical_id)).collect();
    assert_eq!(aliases, [(3, &b"alice"[..])]);
    assert!(answer.failures.is_empty());

    for project in [0, 1 << 63, u64::MAX] {
        assert_invalid(aka.resolve(project, "bob").await, "INVALID_PROJECT", "project_id");
        assert_invalid(aka.batch_resolve(project, ["bob"]).await, "INVALID_PROJECT", "project_id");
    }
    for id in ["alice", "nobody"] {
        let resolved = aka.resolve(PROJECT, id).await.expect("resolved");
        assert_eq!((&*resolved.canonical_id, resolved.is_alias), (id.as_bytes(), false));
    }
}

async fn a_batch_answer_is_sparse(backend: Backend) {
    let (_database, aka) = start(backend).await;
    let creates =
        (0..100).map(|n| create_request(PROJECT, format!("alias-{n}"), format!("person-{n}")));
    aka.create_all(creates.collect()).await.expect("created");
    // Every hundredth id is one of 50 aliases, so each alias comes twice. All shards have some.
    let id = |index: usize| match index % 100 {
        0 => format!("alias-{}", index / 100 % 50),
        _ => format!("stranger-{}", index % 5_000),
    };
    let ids: Vec<String> = (0..10_000).map(id).collect();
    let expected: Vec<(u32, String)> =
        (0..100).map(|hundred| (hundred * 100, format!("person-{}", hundred % 50))).collect();
    for round in ["cold", "warm"] {
        let answer = aka.batch_resolve(PROJECT, &ids).await.expect("resolved");
        let found: Vec<(u32, String)> = answer
            .aliases
            .into_iter()
            .map(|found| (found.index, String::from_utf8_lossy(&found.canonical_id).into_owned()))
            .collect();
        assert_eq!(found, expected, "{round}");
        assert!(answer.failures.is_empty() && !answer.degraded, "{round}");
    }
    let too_many = ids.iter().map(String::as_str).chain(["one-more"]);
    assert_invalid(aka.batch_resolve(PROJECT, too_many).await, "BATCH_TOO_LARGE", "distinct_ids");
    let empty = aka.batch_resolve(PROJECT, [""; 0]).await.expect("an empty batch");
    assert!(empty.aliases.is_empty() && empty.failures.is_empty());
}

async fn a_stream_answers_in_order(backend: Backend) {
    let (_database, aka) = start(backend).await;
    let creates =
        (0..200).map(|n| create_request(PROJECT, format!("alias-{n}"), format!("person-{n}")));
    aka.create_all(creates.collect()).await.expect("created");
    // A long batch comes before short ones, and none may overtake it.
    let batch = |n: u32| {
        let strangers = if n.is_multiple_of(10) { 2_000 } else { 0 };
        let mut ids: Vec<String> = (0..strangers).map(|i| format!("cold-{n}-{i}")).collect();
        ids.push(format!("alias-{n}"));
        batch_request(PROJECT, ids)
    };
    let requests = tokio_stream::iter((0..200).map(batch).collect::<Vec<_>>());
    let mut answers = aka.resolver().stream_resolve(requests).await.expect("a stream").into_inner();
    for n in 0..200 {
        let answer = answers.message().await.expect("an answer").expect("200 answers");
        let found: Vec<_> = answer.aliases.iter().map(|found| &*found.canonical_id).collect();
        assert_eq!(found, [format!("person-{n}").as_bytes()]);
    }
    assert!(answers.message().await.expect("the end").is_none());
    assert_stream_ends_with_its_error(&aka).await;
}

/// Checks that the requests before a bad one are answered, and that the stream then ends with an
/// error in the contract's form.
async fn assert_stream_ends_with_its_error(aka: &Aka) {
    let requests = [batch_request(PROJECT, ["alias-1"]), batch_request(0, ["alias-2"])];
    let requests = tokio_stream::iter(requests);
    let mut answers = aka.resolver().stream_resolve(requests).await.expect("a stream").into_inner();
    let first = answers.message().await.expect("an answer").expect("an answer");
    assert_eq!(first.aliases[0].canonical_id, "person-1");
    assert_invalid(answers.message().await, "INVALID_PROJECT", "project_id");
}
