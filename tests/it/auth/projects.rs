//! Projects: a principal asks for its own, and learns nothing of others.

use super::people::{PrincipalFile, Token, admin, resolver};
use super::{NEVER, start};
use aka_test_support::{assert_refused, batch_request, bytes, create_request, resolve_request};
use aka_wire::pb::{
    BatchCreateAliasesRequest, DeleteAliasRequest, GetAliasRequest, ListAliasesRequest,
    UpdateAliasRequest,
};
use tonic::{Code, Status};

fn assert_forbidden<T: std::fmt::Debug>(answer: Result<T, Status>) {
    let refused = answer.expect_err("it is another's project");
    assert_refused(&refused, Code::PermissionDenied, "PROJECT_FORBIDDEN");
}

/// Two projects hold the same ids. A principal of the one gets the same answer for the other project
/// whether the id is there, is not, or cannot be an id.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_project_is_as_if_it_were_not_there() {
    let (mine, ops) = (Token::new().await, Token::new().await);
    let stanzas = mine.stanza("mine", "writer", "[7, 9]") + &ops.stanza("ops", "admin", "\"*\"");
    let (_database, aka) = start(&PrincipalFile::new(&stanzas), &[], &[NEVER]).await;
    for project in [7, 8] {
        let created = create_request(project, "bob", "alice");
        admin(&aka, &ops).create_alias(created).await.expect("an admin may");
    }
    let (mut lookups, mut writes) = (resolver(&aka, &mine), admin(&aka, &mine));
    let own = lookups.resolve(resolve_request(7, "bob")).await.expect("its own");
    assert_eq!(own.into_inner().canonical_id, "alice");
    for project_id in [8, 10, 0, u64::MAX] {
        for id in ["bob", "nobody", "null", ""] {
            let (alias_id, canonical_id, expected_version) = (bytes(id), bytes("alice"), 1);
            assert_forbidden(lookups.resolve(resolve_request(project_id, id)).await);
            assert_forbidden(lookups.batch_resolve(batch_request(project_id, [id])).await);
            assert_forbidden(writes.create_alias(create_request(project_id, id, "alice")).await);
            let get = GetAliasRequest { project_id, alias_id: alias_id.clone() };
            assert_forbidden(writes.get_alias(get).await);
            let (alias_id, canonical_id) = (alias_id.clone(), canonical_id.clone());
            let delete =
                DeleteAliasRequest { project_id, alias_id: alias_id.clone(), expected_version };
            assert_forbidden(writes.delete_alias(delete).await);
            let list = ListAliasesRequest {
                project_id,
                canonical_id: canonical_id.clone(),
                page_size: -1,
                page_token: "x".to_owned(),
            };
            assert_forbidden(writes.list_aliases(list).await);
            let update =
                UpdateAliasRequest { project_id, alias_id, canonical_id, expected_version };
            assert_forbidden(writes.update_alias(update).await);
        }
    }
    // Nothing was done to it.
    let get = GetAliasRequest { project_id: 8, alias_id: bytes("bob") };
    assert_eq!(admin(&aka, &ops).get_alias(get).await.expect("there").into_inner().version, 2);
}

/// A batch may hold several projects: each item is refused or carried out on its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_creates_is_refused_item_by_item() {
    let mine = Token::new().await;
    let file = PrincipalFile::new(&mine.stanza("mine", "writer", "[7, 9]"));
    let (_database, aka) = start(&file, &[], &[NEVER]).await;
    let requests = vec![
        create_request(8, "a", "x"),
        create_request(7, "a", "x"),
        create_request(0, "a", "x"),
        create_request(9, "b", "y"),
        create_request(7, "null", "y"),
        create_request(10, "b", "y"),
    ];
    let answer = admin(&aka, &mine)
        .batch_create_aliases(BatchCreateAliasesRequest { requests })
        .await
        .expect("a batch")
        .into_inner();
    let outcomes: Vec<(u32, i32, &str)> = (0..)
        .zip(&answer.results)
        .map(|(index, result)| match (&result.response, &result.failure) {
            (Some(created), None) => {
                assert_eq!(created.alias.as_ref().expect("an alias").alias_id.len(), 1);
                (index, 0, "created")
            }
            (None, Some(failure)) => (failure.index, failure.code, &*failure.reason),
            other => panic!("{other:?}"),
        })
        .collect();
    let forbidden = (Code::PermissionDenied as i32, "PROJECT_FORBIDDEN");
    let invalid = (Code::InvalidArgument as i32, "PLACEHOLDER_ID");
    let meant = [forbidden, (0, "created"), forbidden, (0, "created"), invalid, forbidden];
    let meant: Vec<(u32, i32, &str)> =
        (0..).zip(meant).map(|(index, (code, reason))| (index, code, reason)).collect();
    assert_eq!(outcomes, meant);
    assert!(!answer.consistency_token.is_empty());
    assert_eq!(aka.metric("aka_auth_total", &["result=\"project_forbidden\""]).await, 3.0);
    for project in [7, 9] {
        let id = if project == 7 { "a" } else { "b" };
        let answer = resolver(&aka, &mine).resolve(resolve_request(project, id)).await;
        assert!(answer.expect("resolved").into_inner().is_alias);
    }
}
