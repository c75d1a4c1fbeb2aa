//! Listing the aliases of a canonical id: pages and their tokens.

use aka_test_support::{Aka, Backend, PROJECT, assert_refused, create_request, start_with};
use tonic::Code;

on_backends!(a_list_comes_in_pages);

async fn a_list_comes_in_pages(backend: Backend) {
    let (_database, aka) = start_with(backend, &["--max-aliases", "1200"]).await;
    let ids: Vec<String> = (0..1_100).map(|number| format!("id-{number:04}")).collect();
    for ids in ids.chunks(1_000) {
        let requests = ids.iter().map(|id| create_request(PROJECT, id, "alice"));
        let created = aka.create_all(requests.collect()).await.expect("a batch");
        assert!(created.results.iter().all(|result| result.response.is_some()));
    }
    aka.create(PROJECT, "other", "erin").await.expect("created");
    aka.create(PROJECT + 1, "other", "alice").await.expect("created");

    for (page_size, most) in [(0, 100), (1, 1), (1_000, 1_000), (1_001, 1_000), (i32::MAX, 1_000)] {
        let page = aka.list(PROJECT, "alice", page_size, "").await.expect("a page");
        assert!(page.aliases.len() <= most, "{} on a page of {page_size}", page.aliases.len());
        assert!(!page.next_page_token.is_empty(), "there is more than a page of {page_size}");
    }
    for page_size in [0, 7 * 11, 1_000, i32::MAX] {
        assert_eq!(aka.list_all(PROJECT, "alice", page_size).await, ids, "by {page_size}");
    }
    // The last page need not be full to be the last; a list of nothing ends at once.
    for nothing in ["nobody", "id-0000"] {
        let page = aka.list(PROJECT, nothing, 0, "").await.expect("a page");
        assert!(page.aliases.is_empty() && page.next_page_token.is_empty());
    }
    let shown = aka.list(PROJECT, "erin", 0, "").await.expect("a page").aliases;
    assert_eq!(shown, [aka.get(PROJECT, "other").await.expect("an alias")], "whole aliases");
    assert_bad_pages_are_refused(&aka).await;

    // A page token points between two ids, so deletions before or after it do no harm.
    let page = aka.list(PROJECT, "alice", 10, "").await.expect("a page");
    for gone in ["id-0003", "id-0009", "id-0010", "id-0011"] {
        aka.delete(PROJECT, gone, 0).await.expect("deleted");
    }
    let next = aka.list(PROJECT, "alice", 10, &page.next_page_token).await.expect("a page");
    assert_eq!(next.aliases.first().expect("an alias").alias_id, "id-0012");
}

async fn assert_bad_pages_are_refused(aka: &Aka) {
    for page_size in [-1, i32::MIN] {
        let refused = aka.list(PROJECT, "alice", page_size, "").await.expect_err("negative");
        let details = assert_refused(&refused, Code::InvalidArgument, "INVALID_PAGE_SIZE");
        super::invalid::assert_field(&details, "page_size");
    }
    let token = aka.list(PROJECT, "alice", 1, "").await.expect("a page").next_page_token;
    let others = [(PROJECT, "erin"), (PROJECT + 1, "alice"), (PROJECT, "alic")];
    let mine = ["x", "!", "AAAA", &token[1..], &token[..token.len() - 2], &format!("{token}A")]
        .map(|token| (PROJECT, "alice", token.to_owned()));
    let others = others.map(|(project, list)| (project, list, token.clone()));
    for (project, list, token) in mine.into_iter().chain(others) {
        let refused = aka.list(project, list, 0, &token).await.expect_err("not of this list");
        let details = assert_refused(&refused, Code::InvalidArgument, "INVALID_PAGE_TOKEN");
        super::invalid::assert_field(&details, "page_token");
    }
}
