//! A sandbox that forbids what makes connections to databases fast.

use aka_test_support::{Aka, Database, PROJECT, backend};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn is_said_once() {
    let database = Database::create(backend::mysql_3()).await;
    let refuse = [("AKA_REFUSE_CALL", "pidfd_getfd")];
    let server = Aka::serve_with_env(&database, &[], &refuse).await;
    for number in 0..30 {
        let alias = format!("a{number}");
        server.create(PROJECT, &alias, "c").await.expect("it works");
        assert!(server.resolve(PROJECT, &alias).await.expect("it works").is_alias);
    }
    let said = server.logged("pidfd_getfd");
    let [line] = &said[..] else { panic!("not said once: {said:?}") };
    assert!(line.contains("\"WARN\"") && line.contains("seccomp"), "{line}");

    // Where it is allowed, nothing is said.
    let server = Aka::serve(&database, &[]).await;
    assert!(server.resolve(PROJECT, "a0").await.expect("it works").is_alias);
    assert!(server.logged("pidfd_getfd").is_empty());
}
