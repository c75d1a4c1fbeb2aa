//! A database that answers but does not let aka read or write is not called unreachable.

use super::{errors, own, status};
use aka_test_support::{
    Aka, Database, DbServer, Engine, PROJECT, assert_refused, backend, eventually,
};
use std::fs;
use std::path::Path;
use std::time::Duration;
use tonic::{Code, Status};
use url::Url;

/// What a client is told of a shard that takes no writes: the reason, whether it should retry, and
/// nothing that the database said.
#[track_caller]
fn assert_barred(refused: &Status, reason: &str, retry: bool) {
    let details = assert_refused(refused, Code::Unavailable, reason);
    assert_eq!(details.retry_info().is_some(), retry, "{details:?}");
    let said = refused.message().to_lowercase();
    for word in ["lost", "cannot be reached", "denied", "--read-only", "mysql", "sqlite", "error"] {
        assert!(!said.contains(word), "{word:?} in {said:?}");
    }
}

/// Each of these kinds counts errors from the start, at 0.
async fn assert_no_errors(server: &Aka) {
    for kind in [
        "unreachable",
        "timed_out",
        "busy",
        "read_only",
        "full",
        "refused",
        "too_large",
        "wrong_shard",
        "failed",
    ] {
        assert_eq!(errors(server, kind).await, 0.0, "{kind}");
    }
}

/// Writes are refused for this reason, reads go on, and an operator is shown the database's words.
async fn assert_writes_barred(server: &Aka, reason: &str, kind: &str, words: &str, retry: bool) {
    for attempt in 0..4 {
        let refused = server.create(PROJECT, long(attempt), "c").await.expect_err("it takes none");
        assert_barred(&refused, reason, retry);
    }
    assert!(server.resolve(PROJECT, "a").await.expect("reads go on").is_alias);
    server.get(PROJECT, "a").await.expect("the primary is read");
    assert!(errors(server, kind).await >= 4.0);

    let shown = status(server).await;
    assert_eq!(shown.code, Some(1), "{shown}");
    assert!(shown.text().contains("up, WRITES REFUSED"), "{shown}");
    assert!(shown.text().contains(words), "{words:?} is not in {shown}");
    assert!(shown.stderr.contains(reason), "{shown}");
    assert!(!server.logged(words).is_empty(), "the log has the database's words");
}

/// An alias id that needs much room.
fn long(number: usize) -> String {
    format!("{number:0>255}")
}

/// Writes work again, and the status says so.
async fn assert_healed(server: &Aka) {
    eventually("writes are taken again", async || server.create(PROJECT, "b", "c").await.ok())
        .await;
    // Lookups have connections of their own, which log in again in their own time.
    eventually("the status is well", async || {
        let shown = status(server).await;
        (shown.code == Some(0) && !shown.text().contains("WRITES REFUSED")).then_some(())
    })
    .await;
}

async fn serve(database: &Database) -> Aka {
    let server = Aka::serve(database, &[]).await;
    server.create(PROJECT, "a", "c").await.expect("it writes at first");
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_server() {
    for engine in Engine::ALL {
        let own = own(engine, &[]).await;
        let database = Database::on(&[&own]).await;
        // MariaDB lets its administrator write all the same.
        own.execute("CREATE USER aka; GRANT ALL ON *.* TO aka").await;
        if engine == Engine::MariaDb {
            own.execute("REVOKE READ_ONLY ADMIN ON *.* FROM aka").await;
        }
        let server = serve(&as_user(&own, &database, "aka", "")).await;
        assert_no_errors(&server).await;
        let on = match engine {
            Engine::MySql => "super_read_only",
            Engine::MariaDb => "read_only",
        };
        own.execute(&format!("SET GLOBAL {on} = 1")).await;
        assert_writes_barred(&server, "SHARD_READ_ONLY", "read_only", "read-only option", true)
            .await;
        own.execute("SET GLOBAL read_only = 0").await;
        assert_healed(&server).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_without_the_right_to_insert() {
    for engine in Engine::ALL {
        let own = own(engine, &[]).await;
        let database = Database::on(&[&own]).await;
        own.execute("CREATE USER aka; GRANT SELECT, INSERT, UPDATE, DELETE ON *.* TO aka").await;
        let server = serve(&as_user(&own, &database, "aka", "")).await;
        // Rights of all databases hold for connections that are made later.
        own.execute("REVOKE INSERT, DELETE ON *.* FROM aka").await;
        assert!(server.stop().await.success());
        let server = Aka::serve(&as_user(&own, &database, "aka", ""), &[]).await;
        assert_no_errors(&server).await;
        assert_writes_barred(&server, "SHARD_REFUSED", "refused", "command denied", false).await;
        own.execute("GRANT INSERT, DELETE ON *.* TO aka").await;
        assert_healed(&server).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_binary_log_by_statements() {
    for engine in Engine::ALL {
        let own = own(engine, &["--log-bin=binlog", "--server-id=1"]).await;
        let database = Database::on(&[&own]).await;
        let server = serve(&database).await;
        own.execute("SET GLOBAL binlog_format = 'STATEMENT'").await;
        assert!(server.stop().await.success());
        let server = Aka::serve(&database, &[]).await;
        assert_writes_barred(&server, "SHARD_REFUSED", "refused", "BINLOG_FORMAT", false).await;
    }
}

/// While a password is wrong, ids are not looked up, and the server is not stormed with logins.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_was_changed() {
    for engine in Engine::ALL {
        let own = own(engine, &[]).await;
        let database = Database::on(&[&own]).await;
        own.execute("CREATE USER aka IDENTIFIED BY 'first'; GRANT ALL ON *.* TO aka").await;
        let database = as_user(&own, &database, "aka", "first");
        let server = Aka::serve(&database, &["--degraded-limit-ms", "0"]).await;
        own.execute("ALTER USER aka IDENTIFIED BY 'second'").await;
        tokio::task::block_in_place(|| own.restart());
        let denied = eventually("the login is refused", async || {
            let refused = server.resolve(PROJECT, "nobody").await.err()?;
            let is_denied = refused.message().contains("refuses");
            is_denied.then_some(refused)
        })
        .await;
        assert_barred(&denied, "SHARD_REFUSED", false);
        let refused = server.create(PROJECT, "x", "y").await.expect_err("no write either");
        assert_barred(&refused, "SHARD_REFUSED", false);
        let shown = status(&server).await;
        assert_eq!(shown.code, Some(1), "{shown}");
        assert!(shown.text().contains("Access denied for user 'aka'"), "{shown}");

        // All connections share one pause, which doubles. Some ten of them try at first, and four a
        // second each would go on.
        let before = errors(&server, "refused").await;
        tokio::time::sleep(Duration::from_secs(4)).await;
        let attempts = errors(&server, "refused").await - before;
        assert!(attempts < 20.0, "{attempts} attempts in 4 s");
        own.execute("ALTER USER aka IDENTIFIED BY 'first'").await;
        eventually("the login works", async || server.resolve(PROJECT, "nobody").await.ok()).await;
        assert_healed(&server).await;
    }
}

/// The databases with another user.
fn as_user(server: &DbServer, database: &Database, user: &str, password: &str) -> Database {
    let url = |name: &String| {
        let mut url = Url::parse(&server.url(name)).expect("a URL");
        url.set_username(user).expect("it has a host");
        url.set_password(Some(password).filter(|word| !word.is_empty())).expect("it has a host");
        url.to_string()
    };
    Database::at(database.names().iter().map(url).collect())
}

/// A SQLite whose connections are opened with a pragma while there is a file that holds it.
async fn with_pragma(pragma: &str, words: &str, reason: &str, kind: &str, retry: bool) {
    let database = Database::create(backend::sqlite()).await;
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let place = folder.path().to_str().expect("UTF-8");
    let server = Aka::serve_with_env(&database, &[], &[("AKA_HOLD_DIR", place)]).await;
    server.create(PROJECT, "a", "c").await.expect("it writes at first");
    assert_no_errors(&server).await;
    assert!(server.stop().await.success());

    let file = Path::new(place).join("sqlite.pragma");
    fs::write(&file, pragma).expect("it can be written");
    let server = Aka::serve_with_env(&database, &[], &[("AKA_HOLD_DIR", place)]).await;
    // A full file has room in some of its pages. It is full when ten in a row do not fit.
    let (mut number, mut refused) = (100, 0);
    while refused < 10 {
        assert!(number < 1_000, "the file grows without an end");
        number += 1;
        let created = server.create(PROJECT, long(number), "c").await;
        refused = if created.is_ok() { 0 } else { refused + 1 };
    }
    assert_writes_barred(&server, reason, kind, words, retry).await;
    fs::remove_file(&file).expect("it can be removed");
    assert_healed(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_sqlite_file() {
    // The file may not grow: SQLite takes the number of its pages for a lower one.
    let words = "database or disk is full";
    with_pragma("max_page_count = 1", words, "SHARD_FULL", "full", false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_sqlite_file() {
    let words = "attempt to write a readonly database";
    with_pragma("query_only = 1", words, "SHARD_READ_ONLY", "read_only", true).await;
}
