//! A wrong configuration is refused before anything is bound: one clear sentence, exit code 64.

use aka_test_support::{Invocation, SECRET, aka};
use std::ffi::OsStr;
use std::net::TcpListener;
use std::path::PathBuf;
use tempfile::TempDir;

/// An address that is in use until this is dropped.
struct Taken(TcpListener);

impl Taken {
    fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").expect("a free port"))
    }

    fn address(&self) -> String {
        self.0.local_addr().expect("it is bound").to_string()
    }

    /// `aka serve` on this address. If it bound the port before it checked the configuration, it
    /// would say that the port is taken.
    fn serve<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Invocation {
        aka(["serve", "--listen", &self.address(), "--metrics-listen", &self.address()]).args(args)
    }
}

/// A configuration file.
struct File {
    path: PathBuf,
    _folder: TempDir,
}

impl File {
    fn new(text: impl AsRef<[u8]>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = folder.path().join("aka.toml");
        std::fs::write(&path, text).expect("it can be written");
        Self { path, _folder: folder }
    }

    fn path(&self) -> &str {
        self.path.to_str().expect("UTF-8")
    }
}

async fn file_is_refused(text: &str, parts: &[&str]) {
    let (taken, file) = (Taken::new(), File::new(text));
    let parts: Vec<_> = parts.iter().copied().chain([file.path()]).collect();
    taken.serve(["--config", file.path()]).run().await.failed(64, &parts);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_refused() {
    let taken = Taken::new();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let folder = folder.path().to_str().expect("UTF-8");
    let missing = format!("{folder}/missing.toml");
    let binary = File::new(b"lanes = 3\n\xff\xfe");
    for path in [missing.as_str(), folder, binary.path()] {
        taken.serve(["--config", path]).run().await.failed(64, &[path]);
        taken.serve([]).env("AKA_CONFIG", path).run().await.failed(64, &[path]);
    }
}

#[tokio::test]
async fn a_malformed_file_is_refused_with_the_line() {
    file_is_refused("lanes = = 3\n", &["line 1:"]).await;
    file_is_refused("# a comment\n\nlanes = 2\ncache_mib = four\n", &["line 4:"]).await;
    file_is_refused("lanes = 2\nlisten = \"127.0.0.1:1\nlog = \"info\"\n", &["line 2:"]).await;
    file_is_refused("lanes = 2\nlog = \"info\"\nlanes = 3\n", &["line 3:", "duplicate key"]).await;
}

#[tokio::test]
async fn an_unknown_key_is_refused_with_the_line() {
    file_is_refused("cashe_mib = 2\n", &["line 1:", "cashe_mib"]).await;
    file_is_refused(
        "# how much\nlanes = 2\ncashe_mib = 2\nlog = \"info\"\n",
        &["line 3:", "cashe_mib"],
    )
    .await;
    file_is_refused("lanes = 2\n\n[database]\nsqlite = \"a\"\n", &["line 3:", "database"]).await;
    // The file has the key `shards`. `shard` is the name of the flag.
    file_is_refused("lanes = 2\nshard = [\"mysql://aka@db/aka\"]\n", &["line 2:", "shard"]).await;
}

#[tokio::test]
async fn a_value_of_the_wrong_type_is_refused_with_the_line() {
    file_is_refused("cache_mib = 2\nlanes = \"many\"\n", &["line 2:"]).await;
    file_is_refused("cache_mib = 2\nlanes = -1\n", &["line 2:"]).await;
    file_is_refused("cache_mib = 2\nlanes = 1.5\n", &["line 2:"]).await;
    file_is_refused("cache_mib = 2\n\nlog_format = \"xml\"\n", &["line 3:", "json"]).await;
    file_is_refused("cache_mib = 2\n\nconnect_timeout_ms = \"soon\"\n", &["line 3:"]).await;
    file_is_refused("cache_mib = 2\nshards = 3\n", &["line 2:"]).await;
}

#[tokio::test]
async fn a_password_in_a_file_with_an_error_is_not_shown() {
    // `Ended` checks of every command that the password is not shown.
    let url = format!("mysql://aka:{SECRET}@db/aka");
    file_is_refused(&format!("shards = [\"{url}\n"), &["line 1:"]).await;
    file_is_refused(&format!("shards = [{url}]\n"), &["line 1:"]).await;
    file_is_refused(&format!("shards = [\"{url}\"]\nlanes = \"x\"\n"), &[]).await;
    // The value of an unknown key may be a secret, so it is not logged.
    file_is_refused(&format!("shard_password = \"{SECRET}\"\n"), &["shard_password"]).await;
}

#[tokio::test]
async fn a_password_where_another_type_belongs_is_not_shown() {
    let url = format!("mysql://aka:{SECRET}@db/aka");
    file_is_refused(&format!("shards = \"{url}\"\n"), &["line 1:"]).await;
    file_is_refused(&format!("lanes = \"{url}\"\n"), &["line 1:"]).await;
}

#[tokio::test]
async fn a_sqlite_file_and_shards_exclude_each_other() {
    let (taken, shard) = (Taken::new(), "mysql://aka@db/aka");
    let said = ["both a SQLite file and shards are named"];
    taken.serve(["--sqlite", "a.db", "--shard", shard]).run().await.failed(64, &said);
    let file = File::new(format!("sqlite = \"a.db\"\nshards = [\"{shard}\"]\n"));
    taken.serve(["--config", file.path()]).run().await.failed(64, &said);
    for command in ["migrate", "check"] {
        let named = [command, "--sqlite", "a.db", "--shard", shard];
        aka(named).run().await.failed(64, &said);
    }
}

/// A SQLite file on the command line wins over the shards of the environment.
#[tokio::test]
async fn the_topmost_layer_chooses_between_sqlite_and_shards() {
    let (taken, shard) = (Taken::new(), "mysql://aka@db/aka");
    let (file, url) = ("sqlite = \"a.db\"", "shards = [\"mysql://aka@db/aka\"]");
    let print = |flags: [&str; 2]| taken.serve(["--print-config", flags[0], flags[1]]);
    let sqlite = print(["--sqlite", "a.db"]).env("AKA_SHARDS", shard).run().await.succeeded();
    assert!(sqlite.contains(file) && !sqlite.contains("shards ="), "{sqlite}");
    let shards = print(["--shard", shard]).env("AKA_SQLITE", "a.db").run().await.succeeded();
    assert!(shards.contains(url) && !shards.contains("sqlite ="), "{shards}");
    let below = File::new("sqlite = \"a.db\"\n");
    let shards = print(["--config", below.path()]).env("AKA_SHARDS", shard).run().await.succeeded();
    assert!(shards.contains(url) && !shards.contains("sqlite ="), "{shards}");
}

#[tokio::test]
async fn wrong_shards_are_refused() {
    let taken = Taken::new();
    let (first, second) = ("mysql://aka@db0/aka", "mysql://aka@db1/aka");
    let with_password = format!("mysql://aka:{SECRET}@db0/aka");
    let twice = taken.serve(["--shard", first, "--shard", second, "--shard", first]);
    twice.run().await.failed(64, &["db0", "named twice"]);
    let twice = taken.serve([]).env("AKA_SHARDS", format!("{with_password},{with_password}"));
    twice.run().await.failed(64, &["db0", "named twice"]);
    for (url, part) in [
        (format!("aka:{SECRET}@db/aka"), "mysql://"),
        (format!("postgres://aka:{SECRET}@db/aka"), "postgres"),
        (format!("mysql://aka:{SECRET}@db"), "database"),
        (format!("mysql://aka:{SECRET}@db:port/aka"), "port"),
        (format!("mysql://aka:{SECRET}@db/aka?ssl-mode=on"), "ssl-mode"),
        (format!("mysql://aka:{SECRET}@db/aka?sslmode=required"), "sslmode"),
        (format!("mysql://aka@db/aka?password={SECRET}"), "password"),
    ] {
        taken.serve(["--shard", &url]).run().await.failed(64, &[part]);
        aka(["migrate", "--shard", &url]).run().await.failed(64, &[part]);
    }
}

#[tokio::test]
async fn a_missing_password_file_is_refused() {
    let shard = ["--shard", "mysql://aka@db/aka"];
    let path = "/missing/password";
    let serve = Taken::new().serve(shard).args(["--shard-password-file", path]);
    serve.run().await.failed(64, &["password file", path]);
    let serve = Taken::new().serve(shard).env("AKA_SHARD_PASSWORD_FILE", path);
    serve.run().await.failed(64, &["password file", path]);
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_refused() {
    let (taken, file) = (Taken::new(), File::new("no folder"));
    for (wrong, part) in [("/missing/folder", "No such file"), (file.path(), "no folder")] {
        let said = ["filter_dir is", wrong, part];
        taken.serve(["--filter-dir", wrong]).run().await.failed(64, &said);
        taken.serve([]).env("AKA_FILTER_DIR", wrong).run().await.failed(64, &said);
    }
}

#[tokio::test]
async fn a_wrong_address_is_refused() {
    for wrong in ["nonsense", "127.0.0.1", "127.0.0.1:99999", "127.0.0.1:http", ""] {
        let serve = aka(["serve", "--listen", wrong]);
        serve.run().await.failed(64, &["listen is", &format!("{wrong:?}")]);
        let serve = aka(["serve", "--listen", "127.0.0.1:0", "--metrics-listen", wrong]);
        serve.run().await.failed(64, &["metrics_listen is", &format!("{wrong:?}")]);
    }
}

#[tokio::test]
async fn a_number_out_of_range_is_refused() {
    let taken = Taken::new();
    for (key, wrong) in [
        ("lanes", "0"),
        ("lanes", "65"),
        ("cache_mib", "1048577"),
        ("connect_timeout_ms", "0"),
        ("query_timeout_ms", "0"),
        ("feed_interval_ms", "0"),
        ("request_timeout_ms", "0"),
        ("overload_lag_ms", "0"),
        ("staleness_limit_ms", "86400001"),
        ("degraded_limit_ms", "18446744073709551615"),
        ("drain_timeout_ms", "86400001"),
        ("max_connections", "0"),
        ("max_aliases", "0"),
        ("max_aliases", "1000001"),
        ("retention_s", "315360001"),
        ("audit_sample", "1.1"),
        ("audit_sample", "-0.1"),
        ("audit_sample", "NaN"),
        ("sweep_pause_ms", "0"),
    ] {
        let said = format!("{key} is {wrong}, but must be ");
        let flag = format!("--{}={wrong}", key.replace('_', "-"));
        taken.serve([flag.as_str()]).run().await.failed(64, &[&said]);
        let variable = format!("AKA_{}", key.to_uppercase());
        taken.serve([]).env(&variable, wrong).run().await.failed(64, &[&said]);
    }
}

#[tokio::test]
async fn a_value_that_is_not_a_number_is_refused() {
    let taken = Taken::new();
    for wrong in ["many", "-1", "1.5", "18446744073709551616", ""] {
        let flag = format!("--max-aliases={wrong}");
        taken.serve([flag.as_str()]).run().await.misunderstood(64, "--max-aliases");
        if wrong.is_empty() {
            // An empty variable is none.
            continue;
        }
        let serve = taken.serve([]).env("AKA_MAX_ALIASES", wrong);
        serve.run().await.misunderstood(64, "--max-aliases");
    }
}

#[tokio::test]
async fn a_wrong_log_setting_is_refused() {
    let taken = Taken::new();
    taken.serve(["--log-format", "xml"]).run().await.misunderstood(64, "json");
    taken.serve(["--log", "aka=loud"]).run().await.failed(64, &["log filter", "aka=loud"]);
    taken.serve([]).env("AKA_LOG", "aka=loud").run().await.failed(64, &["log filter"]);
}

#[tokio::test]
async fn wrong_usage_is_exit_code_2() {
    aka(["serve", "--cashe-mib", "3"]).run().await.misunderstood(2, "--cashe-mib");
    aka(["serve", "extra"]).run().await.misunderstood(2, "extra");
    aka(["migrate", "--lanes", "3"]).run().await.misunderstood(2, "--lanes");
    aka(["server"]).run().await.misunderstood(2, "server");
    let nothing = aka(Vec::<&str>::new()).run().await;
    assert!(nothing.code == Some(2) && nothing.stderr.contains("Usage: aka"), "{nothing}");
    let help = aka(["serve", "--help"]).run().await.succeeded();
    assert!(help.contains("Examples:") && help.contains("--metrics-listen"), "{help}");
}

#[tokio::test]
async fn a_port_in_use_is_exit_code_69() {
    let (taken, folder) = (Taken::new(), tempfile::tempdir().expect("a temporary folder"));
    let address = taken.address();
    let sqlite = folder.path().join("aka.db");
    for flags in [
        ["--listen", &address, "--metrics-listen", "127.0.0.1:0"],
        ["--listen", "127.0.0.1:0", "--metrics-listen", &address],
    ] {
        let serve = aka(["serve"]).args(flags).args([OsStr::new("--sqlite"), sqlite.as_os_str()]);
        serve.run().await.failed(69, &["cannot listen on", &address]);
    }
}
