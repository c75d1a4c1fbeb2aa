//! Statements stay below the server's `max_allowed_packet`.

use super::{errors, own};
use aka_test_support::{
    Aka, Database, Engine, PROJECT, assert_refused, check_is_clean, create_request,
};
use tonic::Code;

/// Pairs of the longest ids. Their rows have 3.6 KB each as statements.
const LONG: usize = 500;

fn long(stem: &str, number: usize) -> String {
    format!("{stem}-{number:0>width$}", width = 254 - stem.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_long_ids() {
    for engine in Engine::ALL {
        let own = own(engine, &["--max-allowed-packet=1M"]).await;
        let database = Database::on(&[&own]).await;
        let server = Aka::serve(&database, &["--filter", "false"]).await;
        let pair = |n| create_request(PROJECT, long("alias", n), long("canonical", n));
        let shorts = (0..350).map(|n| create_request(PROJECT, format!("s{n}"), "t"));
        // The writer takes 512 of them at once.
        let both = (0..LONG).map(pair).chain(shorts);
        let created = server.create_all(both.collect()).await.expect("a batch");
        for (index, result) in created.results.iter().enumerate() {
            assert!(result.response.is_some(), "{engine}, request {index}: {result:?}");
        }
        assert_eq!(server.metric("aka_write_transaction_errors_total", &[]).await, 0.0);
        // Read again, all at once, by an instance that remembers nothing.
        let fresh = Aka::serve(&database, &["--filter", "false"]).await;
        let ids = (0..LONG).map(|n| long("alias", n));
        let resolved = fresh.batch_resolve(PROJECT, ids).await.expect("a batch");
        assert!(resolved.failures.is_empty(), "{:?}", resolved.failures);
        assert_eq!(resolved.aliases.len(), LONG);
        check_is_clean(&database).await;
    }
}

/// With the smallest limit that a server can have, the writes that do not fit are refused alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_cannot_fit() {
    for engine in Engine::ALL {
        let own = own(engine, &["--max-allowed-packet=1024"]).await;
        let database = Database::on(&[&own]).await;
        let server = Aka::serve(&database, &[]).await;
        let mut requests = vec![create_request(PROJECT, long("alias", 0), long("canonical", 0))];
        requests.extend((0..50).map(|n| create_request(PROJECT, format!("s{n}"), "t")));
        let created = server.create_all(requests).await.expect("a batch");
        let refused: Vec<_> = created.results.iter().filter_map(|it| it.failure.as_ref()).collect();
        let [failure] = &refused[..] else { panic!("{engine}: not one refused: {refused:?}") };
        assert_eq!((failure.index, failure.reason.as_str()), (0, "SHARD_REFUSED"), "{failure:?}");
        assert_eq!(errors(&server, "too_large").await.min(1.0), 1.0);
        let said = server.logged("max_allowed_packet");
        assert!(!said.is_empty(), "the log does not say what to raise");
        for _ in 0..2 {
            let refused = server.create(PROJECT, long("alias", 0), long("canonical", 0)).await;
            assert_refused(&refused.expect_err("too long"), Code::Unavailable, "SHARD_REFUSED");
        }
        let ids = (0..50).map(|n| format!("s{n}"));
        let resolved = server.batch_resolve(PROJECT, ids).await.expect("a batch");
        assert_eq!((resolved.aliases.len(), resolved.failures.len()), (50, 0));
        check_is_clean(&database).await;
    }
}
