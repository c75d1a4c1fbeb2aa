//! Every backend compares ids byte for byte. Ids that look alike stand for different people.

use aka_test_support::{
    Aka, Backend, PROJECT, assert_refused, bytes, create_request, invariants, start,
};
use bytes::Bytes;
use tonic::Code;

on_backends!(ids_that_differ_in_a_byte_are_different);
on_backends!(lookalikes_may_be_each_others_alias);
on_backends!(projects_never_meet);

/// Ids of different people. Some collation takes some of them for equal.
const LOOKALIKES: &[&str] = &[
    // Case, also where folding it changes the length.
    "bob",
    "Bob",
    "BOB",
    "straße",
    "strasse",
    "STRASSE",
    "i",
    "I",
    "ı",
    "İ",
    "\u{212a}",
    "k",
    // Blanks before, after and within, and characters that look like a blank or like nothing.
    "bob ",
    "bob  ",
    " bob",
    "b ob",
    "bob\u{a0}",
    "bob\u{200b}",
    "bob\u{feff}",
    // Accents: none, composed, decomposed, in another order.
    "boo",
    "bo\u{f3}",
    "boo\u{301}",
    "a\u{323}\u{302}",
    "a\u{302}\u{323}",
    "\u{1ead}",
    // Digits and widths.
    "1",
    "01",
    "1.0",
    "\u{ff11}",
    "¹",
    // Characters with a meaning in SQL, JSON, URLs or shells.
    "%",
    "_",
    "b%b",
    "b_b",
    "\\",
    "\\\\",
    "'",
    "'; DROP TABLE alias; --",
    "?",
    "$HOME",
    "a,b",
    "a/b",
    "{\"a\":1}",
    // Four bytes a character, unassigned ones, and the last one there is.
    "🙂",
    "🙃",
    "👩\u{200d}🚀",
    "👩🚀",
    "𐍈",
    "\u{e000}",
    "\u{10ffff}",
];

/// All of them, and ids of the greatest length that differ only at the end.
fn lookalikes() -> Vec<Bytes> {
    let mut ids: Vec<Bytes> = LOOKALIKES.iter().map(bytes).collect();
    let stem = "x".repeat(253);
    ids.extend(["", "x", "y", "xx", "xy", "é"].map(|end| bytes(format!("{stem}{end}"))));
    ids.push(bytes("𐍈".repeat(63)));
    ids.push(bytes(format!("{}abc", "𐍈".repeat(63))));
    ids
}

fn person(number: usize) -> String {
    format!("person-{number}")
}

async fn ids_that_differ_in_a_byte_are_different(backend: Backend) {
    let (database, aka) = start(backend).await;
    let ids = lookalikes();
    // Half of them are aliases. The other half are not, although they look alike.
    let mine = || ids.iter().enumerate().filter(|(number, _)| number % 2 == 0);
    let requests = mine().map(|(number, id)| create_request(PROJECT, id, person(number)));
    let created = aka.create_all(requests.collect()).await.expect("a batch");
    assert!(created.results.iter().all(|result| result.response.is_some()), "{created:?}");
    assert_are_aliases(&aka, &ids, |number| number % 2 == 0).await;

    for (number, id) in ids.iter().enumerate().filter(|(number, _)| number % 2 == 1) {
        let refused = aka.get(PROJECT, id).await.expect_err("it only looks like one");
        assert_refused(&refused, Code::NotFound, "ALIAS_NOT_FOUND");
        assert!(aka.create(PROJECT, id, person(number)).await.expect("created").created, "{id:?}");
    }
    assert_are_aliases(&aka, &ids, |_| true).await;
    for (number, id) in ids.iter().enumerate() {
        assert_eq!(aka.get(PROJECT, id).await.expect("an alias").alias_id, id);
        assert_eq!(aka.list_all(PROJECT, &person(number), 0).await, std::slice::from_ref(id));
    }
    // Deleting one leaves the others.
    for (number, id) in mine() {
        aka.delete(PROJECT, id, 0).await.expect("deleted");
        if number % 10 == 0 {
            assert_are_aliases(&aka, &ids, |other| other % 2 == 1 || other > number).await;
        }
    }
    invariants::assert_hold(&database, false).await;
}

async fn assert_are_aliases(aka: &Aka, ids: &[Bytes], is_alias: impl Fn(usize) -> bool) {
    let answer = aka.batch_resolve(PROJECT, ids).await.expect("resolved");
    assert!(answer.failures.is_empty());
    let found: Vec<(usize, Bytes)> = answer
        .aliases
        .into_iter()
        .map(|found| (found.index as usize, found.canonical_id))
        .collect();
    let expected: Vec<(usize, Bytes)> = (0..ids.len())
        .filter(|number| is_alias(*number))
        .map(|number| (number, bytes(person(number))))
        .collect();
    assert_eq!(found, expected);
}

async fn lookalikes_may_be_each_others_alias(backend: Backend) {
    let (database, aka) = start(backend).await;
    let ids = lookalikes();
    let (first, others) = ids.split_first().expect("many");
    for id in others {
        let created = aka.create(PROJECT, id, first).await.expect("another id is no self alias");
        assert_eq!(created.alias.expect("an alias").canonical_id, first);
    }
    for id in &ids {
        let resolved = aka.resolve(PROJECT, id).await.expect("resolved");
        assert_eq!((&resolved.canonical_id, resolved.is_alias), (first, id != first));
    }
    // A list is in the order of the bytes.
    let mut sorted = others.to_vec();
    sorted.sort_unstable();
    for page_size in [0, 7] {
        assert_eq!(aka.list_all(PROJECT, "bob", page_size).await, sorted);
    }
    assert_eq!(aka.list_all(PROJECT, "Bob", 0).await, [""; 0]);
    invariants::assert_hold(&database, false).await;
}

async fn projects_never_meet(backend: Backend) {
    let (database, aka) = start(backend).await;
    let greatest = i64::MAX.cast_unsigned();
    // In one project these would be a chain, a circle, or taken.
    aka.create(1, "a", "b").await.expect("created");
    aka.create(2, "b", "a").await.expect("created");
    aka.create(3, "b", "c").await.expect("created");
    aka.create(greatest, "a", "c").await.expect("created");
    let projects = [1, 2, 3, greatest];
    let expected = [("b", "b"), ("a", "a"), ("a", "c"), ("c", "b")];
    for (project, (a, b)) in projects.into_iter().zip(expected) {
        let (found_a, found_b) = (aka.resolve(project, "a").await, aka.resolve(project, "b").await);
        assert_eq!(found_a.expect("resolved").canonical_id, a, "of {project}");
        assert_eq!(found_b.expect("resolved").canonical_id, b, "of {project}");
    }
    assert_eq!(aka.list_all(1, "b", 0).await, ["a"]);
    assert_eq!(aka.list_all(2, "a", 0).await, ["b"]);
    assert_eq!(aka.list_all(2, "b", 0).await, [""; 0]);
    let refused = aka.delete(3, "a", 0).await.expect_err("only others have it");
    assert_refused(&refused, Code::NotFound, "ALIAS_NOT_FOUND");
    aka.delete(1, "a", 0).await.expect("deleted");
    assert!(!aka.resolve(1, "a").await.expect("resolved").is_alias);
    assert_eq!(aka.resolve(greatest, "a").await.expect("resolved").canonical_id, "c");
    invariants::assert_hold(&database, false).await;
}
