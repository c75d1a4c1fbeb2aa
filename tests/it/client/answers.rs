//! What the client answers is what the service says.

use super::{alias_of, connect, no_alias, options};
use aka_client::ResolveError;
use aka_test_support::{Backend, PROJECT, start};
use futures::future::join_all;

on_backends!(many_tasks_share_batches: sqlite mysql_3);

async fn many_tasks_share_batches(backend: Backend) {
    let (_database, server) = start(backend).await;
    server.create_many("alias", 300).await;
    let client = connect(options([&server])).await;
    let ids = (0..1_000).map(|n| format!("alias-{n}"));
    let asked = ids.map(|id| {
        let client = client.clone();
        tokio::spawn(async move {
            let answer = client.resolve(PROJECT, id.clone()).await.expect("an answer");
            let raw = client.resolve_all(PROJECT, vec![id.into()], "").await;
            assert_eq!(raw, [Ok(answer.clone())]);
            answer
        })
    });
    let answers = join_all(asked).await;
    for (n, answer) in answers.into_iter().enumerate() {
        let id = format!("alias-{n}");
        let said = server.resolve(PROJECT, &id).await.expect("an answer");
        let answer = answer.expect("no panic");
        assert_eq!(
            (&answer.canonical[..], answer.is_alias),
            (&said.canonical_id[..], said.is_alias)
        );
    }
    let counts = client.counts();
    assert!(counts.calls < counts.ids / 2, "{counts:?}");
}

on_backends!(the_echo_of_the_client_is_that_of_the_service: sqlite);

async fn the_echo_of_the_client_is_that_of_the_service(backend: Backend) {
    let (_database, server) = start(backend).await;
    let client = connect(options([&server])).await;
    for id in [&b""[..], b"a\xff", &[b'a'; 256], b"null", b"\x01", &[b'a'; 255]] {
        let said = server.resolve(PROJECT, id).await.expect("an answer");
        assert_eq!((&said.canonical_id[..], said.is_alias), (id, false));
        assert_eq!(client.resolve(PROJECT, id.to_vec()).await, Ok(no_alias(id)));
    }
    let refused = client.resolve(0, "a").await.expect_err("there is no such project");
    let ResolveError::Refused { reason, .. } = &refused else { panic!("{refused}") };
    assert_eq!(&**reason, "INVALID_PROJECT");
    let refused = client.resolve(PROJECT, "a").token("x").await.expect_err("it is no token");
    let ResolveError::Refused { reason, .. } = &refused else { panic!("{refused}") };
    assert_eq!(&**reason, "INVALID_TOKEN");
}

on_backends!(admins_have_their_calls: sqlite);

async fn admins_have_their_calls(backend: Backend) {
    let (_database, server) = start(backend).await;
    let client = connect(options([&server])).await;
    let admin = client.admin();
    assert!(admin.create(PROJECT, "bob", "alice").await.expect("created").created);
    let taken = admin.create(PROJECT, "bob", "carol").await.expect_err("it is taken");
    let ResolveError::Refused { reason, .. } = &taken else { panic!("{taken}") };
    assert_eq!(&**reason, "ALIAS_TAKEN");
    let alias = admin.get(PROJECT, "bob").await.expect("it is there");
    assert_eq!(alias.canonical_id, "alice");
    let updated = admin.update(PROJECT, "bob", "carol", alias.version).await.expect("updated");
    let read = client.resolve(PROJECT, "bob").token(updated.consistency_token).await;
    assert_eq!(read, Ok(alias_of("carol")));
    let listed = admin.list(PROJECT, "carol", 0, "").await.expect("a page");
    assert_eq!(listed.aliases.len(), 1);
    admin.delete(PROJECT, "bob", 0).await.expect("deleted");
    let gone = admin.get(PROJECT, "bob").await.expect_err("it is gone");
    let ResolveError::Refused { reason, .. } = &gone else { panic!("{gone}") };
    assert_eq!(&**reason, "ALIAS_NOT_FOUND");
}
