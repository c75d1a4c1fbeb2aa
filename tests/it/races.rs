//! Writes that race each other. The invariants hold, whichever wins (P7).

use aka_test_support::{
    Aka, Backend, Database, PROJECT, assert_refused, check_is_clean, invariants, start,
};
use aka_wire::pb::CreateAliasResponse;
use futures::StreamExt;
use futures::future::join_all;
use tonic::{Code, Status};
use tonic_types::StatusExt;

on_backends!(of_two_opposite_creates_at_most_one_wins: sqlite mysql_3 mariadb_3);
on_backends!(a_canonical_id_that_becomes_an_alias_leaves_no_chain: sqlite mysql_3 mariadb_3);
on_backends!(of_two_creates_of_an_alias_one_wins: sqlite mysql_3 mariadb_3);
on_backends!(one_update_wins_for_each_version: sqlite mysql_3 mariadb_3);
on_backends!(random_writes_keep_the_invariants: sqlite mysql_3 mariadb_3);
on_backends!(creates_at_once_stop_at_the_limit: sqlite mysql_3 mariadb_3);
on_backends!(a_crash_leaves_whole_writes: sqlite mysql_3 mariadb_3);

const ROUNDS: u32 = 48;
/// How many rounds run at once, each with ids of its own.
const AT_ONCE: usize = 6;

type Created = Result<CreateAliasResponse, Status>;

async fn rounds(run: impl AsyncFn(u32)) {
    let run = &run;
    futures::stream::iter(0..ROUNDS).for_each_concurrent(AT_ONCE, |round| run(round)).await;
}

/// Checks all invariants. No write has crashed, so there may be no orphan.
async fn assert_whole(database: &Database) {
    invariants::assert_hold(database, false).await;
    check_is_clean(database).await;
}

fn reason(status: &Status) -> String {
    status.get_error_details().error_info().expect("ErrorInfo").reason.clone()
}

#[track_caller]
fn assert_reason(status: &Status, allowed: &[&str]) {
    let reason = reason(status);
    assert!(allowed.contains(&reason.as_str()), "{reason}: {}", status.message());
}

fn canonical(answer: &CreateAliasResponse) -> &[u8] {
    &answer.alias.as_ref().expect("an alias").canonical_id
}

/// A → B and B → A: at most one wins, and the other's retry is told why it cannot.
async fn of_two_opposite_creates_at_most_one_wins(backend: Backend) {
    let (database, aka) = start(backend).await;
    rounds(async |round| {
        let (a, b) = (format!("a-{round}"), format!("b-{round}"));
        let (ab, ba) = tokio::join!(aka.create(PROJECT, &a, &b), aka.create(PROJECT, &b, &a));
        let lost = |answer: Created| {
            assert_reason(
                &answer.expect_err("lost"),
                &["SELF_ALIAS", "ALIAS_IS_CANONICAL", "RETRY_LATER"],
            );
        };
        let (alias, other) = match (ab, ba) {
            (Ok(_), Ok(_)) => panic!("a circle: {a} and {b}"),
            (Ok(_), ba) => {
                lost(ba);
                (&a, &b)
            }
            (ab, Ok(_)) => {
                lost(ab);
                (&b, &a)
            }
            (Err(ab), Err(ba)) => {
                // Each saw the other's pin. Neither may leave its own.
                assert_reason(&ab, &["RETRY_LATER"]);
                assert_reason(&ba, &["RETRY_LATER"]);
                aka.create(PROJECT, &a, &b).await.expect("nobody is in the way now");
                (&a, &b)
            }
        };
        let resolved = aka.resolve(PROJECT, alias).await.expect("resolved");
        assert_eq!(resolved.canonical_id, *other);
        let refused = aka.create(PROJECT, other, alias).await.expect_err("it would be a circle");
        assert_refused(&refused, Code::InvalidArgument, "SELF_ALIAS");
    })
    .await;
    assert_whole(&database).await;
}

/// A → B and B → C: A ends at B or at C, never at an alias.
async fn a_canonical_id_that_becomes_an_alias_leaves_no_chain(backend: Backend) {
    let (database, aka) = start(backend).await;
    rounds(async |round| {
        let [a, b, c] = ["a", "b", "c"].map(|id| format!("{id}-{round}"));
        let (ab, bc) = tokio::join!(aka.create(PROJECT, &a, &b), aka.create(PROJECT, &b, &c));
        let end = match &bc {
            Ok(answer) => {
                assert_eq!(canonical(answer), c.as_bytes());
                &c
            }
            Err(refused) => {
                assert_reason(refused, &["ALIAS_IS_CANONICAL", "RETRY_LATER"]);
                &b
            }
        };
        match ab {
            Ok(answer) => assert_eq!(canonical(&answer), end.as_bytes()),
            Err(refused) => assert_reason(&refused, &["RETRY_LATER"]),
        }
        let again = aka.create(PROJECT, &a, &b).await.expect("nobody is in the way now");
        assert_eq!(canonical(&again), end.as_bytes());
        assert_eq!(aka.resolve(PROJECT, &a).await.expect("resolved").canonical_id, *end);
    })
    .await;
    assert_whole(&database).await;
}

/// One create wins. The others are told which canonical id has the alias, or that it is as
/// requested.
async fn of_two_creates_of_an_alias_one_wins(backend: Backend) {
    let (database, aka) = start(backend).await;
    rounds(async |round| {
        let a = format!("a-{round}");
        let targets = [0, 1, 0, 1].map(|target| format!("target-{target}-{round}"));
        let answers = join_all(targets.iter().map(|to| aka.create(PROJECT, &a, to))).await;
        let won = aka.resolve(PROJECT, &a).await.expect("resolved").canonical_id;
        let mut created = 0;
        for (target, answer) in targets.iter().zip(answers) {
            match answer {
                Ok(answer) => {
                    assert_eq!((canonical(&answer), &won), (target.as_bytes(), &won));
                    created += u32::from(answer.created);
                }
                Err(refused) => {
                    assert_ne!(won, *target, "refused, although it won");
                    let details = assert_refused(&refused, Code::AlreadyExists, "ALIAS_TAKEN");
                    let metadata = &details.error_info().expect("ErrorInfo").metadata;
                    assert_eq!(metadata["canonical_id"].as_bytes(), won);
                }
            }
        }
        assert_eq!(created, 1, "exactly one has created it");
    })
    .await;
    assert_whole(&database).await;
}

/// An update wins once for each version; so does a delete.
async fn one_update_wins_for_each_version(backend: Backend) {
    let (database, aka) = start(backend).await;
    rounds(async |round| {
        let a = format!("a-{round}");
        let created = aka.create(PROJECT, &a, format!("old-{round}")).await.expect("created");
        let version = created.alias.expect("an alias").version;
        let targets: Vec<String> = (0..4).map(|target| format!("new-{target}-{round}")).collect();
        let updates = targets.iter().map(|to| aka.update(PROJECT, &a, to, version));
        let answers = join_all(updates).await;
        let now = aka.get(PROJECT, &a).await.expect("an alias");
        let mut won = Vec::new();
        for (target, answer) in targets.iter().zip(answers) {
            match answer {
                Ok(answer) => {
                    assert_eq!(answer.alias.as_ref(), Some(&now));
                    won.push(target.as_bytes().to_vec());
                }
                Err(refused) => {
                    let details = assert_refused(&refused, Code::Aborted, "VERSION_MISMATCH");
                    let metadata = &details.error_info().expect("ErrorInfo").metadata;
                    assert_eq!(metadata["version"], now.version.to_string());
                }
            }
        }
        assert_eq!(won, [now.canonical_id.to_vec()], "exactly one has won");
        let deletes = join_all((0..3).map(|_| aka.delete(PROJECT, &a, now.version))).await;
        assert_eq!(deletes.iter().filter(|answer| answer.is_ok()).count(), 1);
        for refused in deletes.into_iter().filter_map(Result::err) {
            assert_refused(&refused, Code::NotFound, "ALIAS_NOT_FOUND");
        }
    })
    .await;
    assert_whole(&database).await;
}

/// Creates, updates and deletes of a few ids. Each id may become alias or canonical.
async fn random_writes_keep_the_invariants(backend: Backend) {
    let (database, aka) = start(backend).await;
    let allowed = [
        "ALIAS_TAKEN",
        "ALIAS_IS_CANONICAL",
        "ALIAS_NOT_FOUND",
        "RETRY_LATER",
        "SELF_ALIAS",
        "VERSION_MISMATCH",
    ];
    let worker = async |seed: u64| {
        let (mut numbers, mut done) = (Numbers(seed), 0);
        for _ in 0..60 {
            let id = |number| format!("id-{number}");
            let (alias, target) = (id(numbers.below(6)), id(numbers.below(6)));
            let answer = match numbers.below(4) {
                0 | 1 => aka.create(PROJECT, &alias, &target).await.map(drop),
                2 => match aka.get(PROJECT, &alias).await {
                    Ok(seen) => aka.update(PROJECT, &alias, &target, seen.version).await.map(drop),
                    Err(refused) => Err(refused),
                },
                _ => aka.delete(PROJECT, &alias, 0).await.map(drop),
            };
            match answer {
                Ok(()) => done += 1,
                Err(refused) => assert_reason(&refused, &allowed),
            }
        }
        done
    };
    let done: Vec<u32> = join_all((1..=8).map(worker)).await;
    assert!(done.iter().sum::<u32>() > 40, "hardly anything was written: {done:?}");
    assert_whole(&database).await;
    for number in 0..6 {
        let id = format!("id-{number}");
        let resolved = aka.resolve(PROJECT, &id).await.expect("resolved");
        let stored = aka.get(PROJECT, &id).await.ok().map(|alias| alias.canonical_id);
        assert_eq!(resolved.is_alias.then_some(resolved.canonical_id), stored, "{id}");
    }
}

/// The same numbers in each run (xorshift), for each seed but 0.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) % bound
    }
}

async fn creates_at_once_stop_at_the_limit(backend: Backend) {
    let (database, aka) = start(backend).await;
    let creates = (0..501).map(|n| aka.create(PROJECT, format!("alias-{n}"), "alice"));
    let answers = join_all(creates).await;
    let refused: Vec<Status> = answers.into_iter().filter_map(Result::err).collect();
    for refused in &refused {
        assert_reason(refused, &["TOO_MANY_ALIASES", "RETRY_LATER"]);
    }
    assert_eq!(refused.len(), 1, "one has no room: {refused:?}");
    assert_eq!(aka.list_all(PROJECT, "alice", 1_000).await.len(), 500);
    let refused = aka.create(PROJECT, "late", "alice").await.expect_err("there is no room");
    assert_refused(&refused, Code::ResourceExhausted, "TOO_MANY_ALIASES");
    assert_whole(&database).await;
}

/// `aka` dies with writes under way. Acknowledged writes are there, others happened whole or not at
/// all, and repeating them succeeds.
async fn a_crash_leaves_whole_writes(backend: Backend) {
    let (database, mut aka) = start(backend).await;
    for crash in 0..4 {
        let ids: Vec<(String, String)> = (0..200)
            .map(|n| (format!("alias-{crash}-{n}"), format!("person-{crash}-{}", n % 40)))
            .collect();
        let mut writes = futures::stream::iter(&ids)
            .map(async |pair| (pair, aka.create(PROJECT, &pair.0, &pair.1).await))
            .buffer_unordered(16);
        let mut acknowledged = Vec::new();
        while acknowledged.len() < 20 + 30 * crash {
            let (pair, answer) = writes.next().await.expect("more are to come");
            answer.expect("created");
            acknowledged.push(pair);
        }
        // Sixteen writes are under way. Some may be acknowledged without the client knowing it yet.
        aka.kill();
        while let Some((pair, answer)) = writes.next().await {
            acknowledged.extend(answer.is_ok().then_some(pair));
        }
        drop(writes);
        assert!(acknowledged.len() < ids.len(), "it was killed after the last write");
        invariants::assert_hold(&database, true).await;

        aka = Aka::serve(&database, &[]).await;
        for (alias, person) in acknowledged {
            let resolved = aka.resolve(PROJECT, alias).await.expect("resolved");
            assert_eq!(resolved.canonical_id, *person, "an acknowledged write is lost");
        }
        for (alias, person) in &ids {
            let again = aka.create(PROJECT, alias, person).await.expect("safe to repeat");
            assert_eq!(canonical(&again), person.as_bytes());
        }
        assert_eq!(aka.list_all(PROJECT, &format!("person-{crash}-0"), 0).await.len(), 5);
    }
    invariants::assert_hold(&database, true).await;
}
