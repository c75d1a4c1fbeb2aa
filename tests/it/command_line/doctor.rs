//! `aka doctor`: all is well, or a fault that was made on purpose is named with what to do.

use crate::tls::{Authority, KeyFolder};
use aka_test_support::{
    Backend, Database, DbServer, Ended, Engine, Invocation, ReplicaPair, SECRET, aka, free_port,
    run_aka, shared_server,
};
use serde_json::Value;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

/// With a connect timeout that a busy machine keeps.
fn doctor(flags: &[String]) -> Invocation {
    aka(["doctor"]).args(flags).env("AKA_CONNECT_TIMEOUT_MS", "20000")
}

fn shard(url: &str) -> [String; 2] {
    ["--shard".to_owned(), url.to_owned()]
}

/// The checks of a report, which says what the exit code says.
#[track_caller]
fn checks(ended: &Ended) -> Vec<Value> {
    let [report] = &ended.json()[..] else { panic!("not one line: {ended}") };
    let problems = report["problems"].as_u64().expect("a number");
    assert_eq!(ended.code, Some(i32::from(problems > 0)), "{ended}");
    assert!(ended.stderr.is_empty(), "{ended}");
    let checks = report["checks"].as_array().expect("a list").clone();
    for check in &checks {
        assert_eq!(check["do"].is_string(), check["grade"] != "ok", "{check}");
    }
    checks
}

/// Runs it, and returns what is no problem and no warning, and the rest.
async fn diagnosed(invocation: Invocation) -> (Vec<Value>, Vec<Value>) {
    let ended = invocation.args(["--format", "json"]).run().await;
    checks(&ended).into_iter().partition(|check| check["grade"] == "ok")
}

/// That one check is a problem, and no other. Its `what`, `found` and `do` have these parts.
#[track_caller]
fn assert_only(bad: &[Value], grade: &str, parts: [&str; 3]) {
    let [one] = bad else { panic!("not one: {bad:#?}") };
    assert_eq!(one["grade"], grade, "{one}");
    for (key, part) in ["what", "found", "do"].into_iter().zip(parts) {
        assert!(one[key].as_str().is_some_and(|text| text.contains(part)), "{part:?}: {one}");
    }
}

#[track_caller]
fn assert_named(good: &[Value], parts: &[&str]) {
    for part in parts {
        let named = |check: &Value| check["what"].as_str().is_some_and(|what| what.contains(part));
        assert!(good.iter().any(named), "no check of {part}: {good:#?}");
    }
}

on_backends!(all_is_well: sqlite mysql_3 mariadb_3);

async fn all_is_well(backend: Backend) {
    let database = Database::create(backend).await;
    // A file has no tables yet.
    assert!(run_aka("migrate", &database.flags()).await.status.success());
    let before = database.tables().await;
    let (good, bad) = diagnosed(doctor(&database.flags())).await;
    assert!(bad.iter().all(|check| check["what"].as_str().is_some_and(|it| it.ends_with("space"))));
    assert_named(&good, &["configuration", "file descriptors", "gRPC port", "tables"]);
    if database.shards() > 1 {
        for shard in ["shard 0", "shard 1", "shard 2"] {
            for aspect in ["version", "rights", "binary log", "max_allowed_packet", "clock", "TLS"]
            {
                let of_shard = |check: &&Value| {
                    check["what"].as_str().is_some_and(|what| what.starts_with(shard))
                };
                let of_shard: Vec<_> = good.iter().filter(of_shard).cloned().collect();
                assert_named(&of_shard, &[aspect, "primary", "tables"]);
            }
        }
        assert_named(&good, &["slots"]);
    }
    let text = doctor(&database.flags()).run().await.succeeded();
    assert!(text.starts_with("ok       configuration: "), "{text}");
    assert_eq!(text.lines().count(), good.len() + bad.len() + 1, "a line each: {text}");
    assert!(text.contains("checks, 0 problems, "), "{text}");
    assert_eq!(database.tables().await, before, "it changes nothing");
}

#[tokio::test]
async fn a_first_start_is_no_problem_and_nothing_is_made() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("new/aka.db");
    let sqlite = |path: &str| ["--sqlite".to_owned(), path.to_owned()];
    let (good, bad) = diagnosed(doctor(&sqlite(&file.display().to_string()))).await;
    assert!(bad.is_empty(), "{bad:#?}");
    assert_named(&good, &["folder of the SQLite file", "SQLite file"]);
    assert!(!folder.path().join("new").exists(), "it makes nothing");

    // A folder that is a file.
    let (_, bad) = diagnosed(doctor(&sqlite("/dev/null/aka.db"))).await;
    assert!(bad.iter().any(|check| check["what"] == "folder of the SQLite file"), "{bad:#?}");
    // A file that is no database.
    let garbage = folder.path().join("garbage.db");
    fs::write(&garbage, "this is no database, but it is long enough to be read as one".repeat(99))
        .expect("it can be written");
    let (_, bad) = diagnosed(doctor(&sqlite(&garbage.display().to_string()))).await;
    let bad: Vec<_> = bad.into_iter().filter(|check| check["grade"] == "problem").collect();
    assert_only(&bad, "problem", ["SQLite file", "not a database", "name a file of aka"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_that_is_missing() {
    for engine in Engine::ALL {
        let server = tokio::task::spawn_blocking(move || shared_server(engine)).await;
        let server = server.expect("the shared server starts");
        let database = Database::on(&[server]).await;
        let name = database.names().remove(0);
        let user = format!("doctor_{name}");
        server
            .execute(&format!(
                "CREATE USER '{user}'@'%' IDENTIFIED BY '{SECRET}'; \
                 GRANT SELECT, INSERT, DELETE ON {name}.* TO '{user}'@'%'; \
                 GRANT UPDATE ON {name}.alias TO '{user}'@'%'"
            ))
            .await;
        let url = format!("mysql://{user}@127.0.0.1:{}/{name}", server.port());
        let invocation = || doctor(&shard(&url)).env("AKA_SHARD_PASSWORD", SECRET);
        let (_, bad) = diagnosed(invocation()).await;
        let missing = "may not UPDATE on canonical, UPDATE on shard_meta, UPDATE on shard_beat";
        assert_only(&bad, "problem", ["rights", missing, "GRANT"]);
        server.execute(&format!("GRANT UPDATE ON {name}.* TO '{user}'@'%'")).await;
        let (_, bad) = diagnosed(invocation()).await;
        assert!(bad.is_empty(), "{engine}: {bad:#?}");

        let wrong = doctor(&shard(&url)).env("AKA_SHARD_PASSWORD", "another");
        let (_, bad) = diagnosed(wrong).await;
        assert_only(&bad[..1], "problem", ["shard 0, server", "Access denied", "password"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_by_their_roles() {
    for engine in Engine::ALL {
        let pair = ReplicaPair::start(engine).await;
        let (good, bad) = diagnosed(doctor(&shard(&pair.url()))).await;
        assert!(bad.is_empty(), "{engine}: {bad:#?}");
        assert_named(&good, &["shard 0, primary", "shard 0, tables"]);

        let (_, bad) = diagnosed(doctor(&shard(&pair.replica.url(pair.database())))).await;
        assert_only(&bad, "problem", ["primary", "no server takes writes", "promote"]);

        let writable = match engine {
            Engine::MySql => "SET GLOBAL super_read_only = OFF; SET GLOBAL read_only = OFF",
            Engine::MariaDb => "SET GLOBAL read_only = OFF",
        };
        pair.replica.execute(writable).await;
        let (_, bad) = diagnosed(doctor(&shard(&pair.url()))).await;
        assert_only(&bad, "problem", ["primary", "several servers take writes", "read-only"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_of_a_server() {
    for engine in Engine::ALL {
        let options = ["--max-allowed-packet=1024", "--log-bin=b", "--binlog-format=STATEMENT"];
        let start =
            move || DbServer::start_with(engine, &[&options[..], &["--server-id=1"]].concat());
        let server = tokio::task::spawn_blocking(start).await.expect("the server starts");
        let url = server.url(&server.create_database().await);
        let (_, bad) = diagnosed(doctor(&shard(&url))).await;
        assert_only(&bad[..1], "problem", ["binary log", "by statements", "binlog_format=ROW"]);
        assert_only(&bad[1..2], "problem", ["max_allowed_packet", "1024 bytes", "64 MiB"]);
        assert_only(&bad[2..], "problem", ["tables", "none", "aka migrate"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shards_that_are_named_wrongly() {
    let database = Database::create(aka_test_support::backend::mysql_3()).await;
    let flags = database.flags();
    // One is not there. The others are looked at all the same.
    let gone = format!("mysql://root:{SECRET}@127.0.0.1:{}/aka", free_port());
    let unreachable = [&flags[..2], &shard(&gone), &flags[4..]].concat();
    let (good, bad) = diagnosed(doctor(&unreachable)).await;
    assert_only(&bad[..1], "problem", ["shard 1, server", "cannot reach", "start the server"]);
    assert_only(&bad[1..], "problem", ["shard 1, primary", "no server answers", "lines"]);
    assert_named(&good, &["shard 0, tables", "shard 2, tables"]);

    let swapped = [&flags[2..4], &flags[..2], &flags[4..]].concat();
    let (_, bad) = diagnosed(doctor(&swapped)).await;
    assert_only(&bad[..1], "problem", ["shard 0, tables", "is shard 1", "in shard order"]);

    let unknown = flags[1].rsplit_once('/').map(|(server, _)| format!("{server}/nobody"));
    let (_, bad) = diagnosed(doctor(&shard(&unknown.expect("a path")))).await;
    assert_only(&bad[..1], "problem", ["shard 0, server", "nobody", "create the database"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_and_folders() {
    let database = Database::create(Backend::Shards(Engine::MySql, 1)).await;
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let run = |flags: &[&str]| {
        let invocation = doctor(&database.flags()).args(flags);
        async move { diagnosed(invocation).await }
    };
    // The databases are looked at although the settings have a fault.
    let (good, bad) = run(&["--filter-dir", "/nowhere"]).await;
    assert_only(&bad, "problem", ["configuration", "filter_dir", "docs/configuration.md"]);
    assert_named(&good, &["shard 0, tables"]);

    let path = folder.path().to_str().expect("UTF-8");
    let (good, _) = run(&["--filter-dir", path]).await;
    assert_named(&good, &["filter_dir"]);
    fs::set_permissions(path, Permissions::from_mode(0o777)).expect("its owner may");
    let (_, bad) = run(&["--filter-dir", path]).await;
    assert_only(&bad[..1], "warn", ["filter_dir", "777", "chmod go-w"]);
    fs::set_permissions(path, Permissions::from_mode(0o700)).expect("its owner may");

    let password = folder.path().join("password");
    fs::write(&password, SECRET).expect("it can be written");
    fs::set_permissions(&password, Permissions::from_mode(0o644)).expect("its owner may");
    let (_, bad) = run(&["--shard-password-file", password.to_str().expect("UTF-8")]).await;
    let bad: Vec<_> = bad.into_iter().filter(|check| check["grade"] == "warn").collect();
    assert_only(&bad, "warn", ["shard_password_file", "644", "chmod"]);

    let authority = Authority::new();
    let (server, expired) = (authority.server(), authority.expired_server());
    for (issued, grade) in [(server, "ok"), (expired, "problem")] {
        let files = KeyFolder::new(&issued, "");
        let (cert, key) = (files.path("cert"), files.path("key"));
        let (good, bad) = run(&["--tls-cert", &cert, "--tls-key", &key]).await;
        match grade {
            "ok" => assert_named(&good, &["certificate of gRPC"]),
            _ => assert_only(&bad, "problem", ["configuration", "expired", "correct"]),
        }
    }
    let (_, bad) = run(&["--listen", "0.0.0.0:50051", "--insecure"]).await;
    assert_only(&bad, "warn", ["gRPC port", "without TLS", "--tls-cert"]);
    let (_, bad) = run(&["--max-connections", "1048576"]).await;
    assert!(bad.iter().all(|check| check["what"] == "file descriptors"), "{bad:#?}");
}
