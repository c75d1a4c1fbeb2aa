//! Settings as people write them, and a stdout that nobody reads.

use aka_test_support::{
    Backend, Engine, Invocation, PROJECT, SECRET, aka, aka_program, shared_server, spawn, start,
};
use std::io::pipe;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// Every variable of the table of settings in docs/configuration.md.
fn variables() -> Vec<String> {
    let table =
        include_str!("../../../docs/configuration.md").split("| flag | environment |").nth(1);
    let rows = table.expect("the table").lines().skip(2).take_while(|line| line.starts_with('|'));
    let names = rows.filter_map(|row| row.split('`').find(|part| part.starts_with("AKA_")));
    let names: Vec<String> = names.map(str::to_owned).collect();
    assert!(names.len() > 25 && names.contains(&"AKA_PLACEHOLDERS".to_owned()), "{names:?}");
    names
}

/// A file in which no setting has its default.
fn configuration(folder: &TempDir, name: &str, database: &str) -> PathBuf {
    let path = folder.path().join(name);
    let text = format!(
        "{database}
listen = \"127.0.0.1:1001\"
metrics_listen = \"127.0.0.1:1002\"
connect_timeout_ms = 11
cache_mib = 12
filter = false
filter_dir = \"/var/tmp\"
staleness_limit_ms = 13
degraded_limit_ms = 14
stale_reads_per_s = 15
feed_interval_ms = 16
lanes = 3
query_timeout_ms = 17
request_timeout_ms = 18
drain_timeout_ms = 19
max_connections = 21
max_aliases = 22
placeholders = [\"nobody\"]
audit_sample = 0.5
retention_s = 1001
sweep_pause_ms = 23
log_format = \"json\"
log = \"debug\"
"
    );
    std::fs::write(&path, text).expect("it can be written");
    path
}

async fn printed(serve: Invocation) -> String {
    serve.run().await.succeeded()
}

#[tokio::test]
async fn an_empty_variable_is_no_variable() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let shards = configuration(&folder, "shards.toml", "shards = [\"mysql://aka@db0/aka\"]");
    let sqlite = configuration(&folder, "sqlite.toml", "sqlite = \"/a/file.db\"");
    for file in [shards, sqlite] {
        let serve = || aka(["serve", "--print-config", "--config"]).args([&file]);
        let right = printed(serve()).await;
        let mut all = serve();
        for variable in variables() {
            assert_eq!(printed(serve().env(&variable, "")).await, right, "{variable}");
            all = all.env(&variable, "");
        }
        assert_eq!(printed(all).await, right);
    }
    let serve = || aka(["serve", "--print-config", "--sqlite", "aka.db"]);
    assert_eq!(printed(serve().env("AKA_CONFIG", "")).await, printed(serve()).await);
}

#[tokio::test]
async fn an_empty_variable_of_a_client_is_none_either() {
    // It says this before it connects, and after the server's address is read.
    let keep_going = aka(["resolve", "--project", "7", "--keep-going", "x"]).env("AKA_SERVER", "");
    keep_going.run().await.failed(2, &["USAGE", "--with-input"]);
    let required = "the following required arguments were not provided:\n  --project";
    let no_project = aka(["resolve", "x"]).env("AKA_PROJECT", "").run().await;
    no_project.misunderstood(2, required);
    let nobody = aka(["status", "--timeout-ms", "5000"]).env("AKA_METRICS_SERVER", "").run().await;
    assert!(nobody.code != Some(2), "it asks the default server: {nobody}");
    let help = aka(["serve", "--help"]).env("AKA_LISTEN", "").run().await.succeeded();
    assert!(help.contains("[env: AKA_LISTEN=]"), "{help}");
}

/// As `$A,$B` is, if one of the two is not set.
#[tokio::test]
async fn a_shard_without_a_name_is_refused() {
    for shards in [",", " ", "mysql://aka@db0/aka,", ",mysql://aka@db0/aka"] {
        for command in [&["serve", "--print-config"][..], &["migrate"], &["check"], &["export"]] {
            let run = aka(command).env("AKA_SHARDS", shards).run().await;
            run.failed(64, &["the list of shards has an empty item"]);
        }
    }
    aka(["migrate", "--shard", ""]).run().await.failed(64, &["has an empty item"]);
}

#[tokio::test]
async fn a_line_end_is_no_part_of_a_password() {
    let server = tokio::task::spawn_blocking(|| shared_server(Engine::MySql)).await;
    let server = server.expect("the shared server starts");
    let database = server.create_database().await;
    let (user, password) = (format!("user_{database}"), format!("{SECRET} "));
    server.execute(&format!("CREATE USER '{user}'@'%' IDENTIFIED BY '{password}'")).await;
    server.execute(&format!("GRANT ALL ON {database}.* TO '{user}'@'%'")).await;
    let url = format!("mysql://{user}@127.0.0.1:{}/{database}", server.port());
    let migrate = || aka(["migrate", "--shard", &url]).env("AKA_CONNECT_TIMEOUT_MS", "20000");
    for line_end in ["\n", "\r\n", ""] {
        let migrate = migrate().env("AKA_SHARD_PASSWORD", format!("{password}{line_end}"));
        let said = migrate.run().await.succeeded();
        assert!(said.starts_with("shard 0 of 1"), "{said}");
    }
    let wrong = migrate().env("AKA_SHARD_PASSWORD", password.trim_end());
    wrong.run().await.failed(69, &["Access denied"]);
}

/// Runs a command whose stdout nobody reads. It must end with this code, and say nothing.
async fn ends_quietly(code: i32, args: Vec<String>, input: &Path) {
    let (reader, writer) = pipe().expect("a pipe");
    drop(reader);
    let mut command = Command::new(aka_program());
    command.env_clear().env("HOME", "/dev/null").args(&args).stdout(writer);
    command.stdin(std::fs::File::open(input).expect("a file")).stderr(Stdio::piped());
    let run = || spawn(command).and_then(Child::wait_with_output);
    let ended = tokio::task::spawn_blocking(run).await.expect("a thread").expect("aka runs");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.code() == Some(code) && said.is_empty(), "{args:?}: {}: {said}", {
        ended.status
    });
}

on_backends!(a_stdout_that_nobody_reads_is_no_fault: sqlite);

async fn a_stdout_that_nobody_reads_is_no_fault(backend: Backend) {
    let (database, server) = start(backend).await;
    server.create(PROJECT, "bob", "alice").await.expect("created");
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let (rows, nothing) = (folder.path().join("rows"), folder.path().join("nothing"));
    let row =
        format!("{{\"project_id\":{PROJECT},\"alias_id\":\"bob\",\"canonical_id\":\"alice\"}}\n");
    std::fs::write(&rows, row).expect("it can be written");
    std::fs::write(&nothing, "").expect("it can be written");
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    for command in ["--help", "--version", "serve --help", "alias create --help"] {
        ends_quietly(0, words(command), &nothing).await;
    }
    for command in ["bash", "zsh", "fish"] {
        ends_quietly(0, words(&format!("completions {command}")), &nothing).await;
    }
    for command in [
        "serve --print-config",
        "migrate",
        "check",
        "check --json",
        "doctor",
        "doctor --format json",
        "export",
        "export --format csv",
    ] {
        let args = words(command).into_iter().chain(database.flags()).collect();
        ends_quietly(0, args, &nothing).await;
    }
    let (grpc, metrics) = (server.grpc, server.metrics);
    for command in [
        "health".to_owned(),
        format!("status --metrics-server {metrics}"),
        format!("status --metrics-server {metrics} --output json"),
        format!("resolve --project {PROJECT} bob"),
        format!("alias create --project {PROJECT} bob alice"),
        format!("alias get --project {PROJECT} bob"),
        format!("alias list --project {PROJECT} alice"),
        "import".to_owned(),
        format!(
            "bench --project {PROJECT} --keys 10 --prepare --duration 0.2 --warm-up 0.1 --rate 100"
        ),
    ] {
        let mut args = words(&command);
        if args[0] != "status" {
            args.extend(["--server".to_owned(), grpc.to_string()]);
        }
        ends_quietly(0, args, &rows).await;
    }
    // The exit code still says what was found.
    database.connect(0).await.execute("DELETE FROM canonical").await;
    let check = words("check").into_iter().chain(database.flags()).collect();
    ends_quietly(1, check, &nothing).await;
}
