//! Flags win over the environment, and the environment wins over the file. `serve --print-config`
//! shows it.

use aka_test_support::{SECRET, aka};
use std::path::Path;
use toml::{Table, Value};

/// Every setting that has one value, with a value for the file, the environment and the flag.
const SETTINGS: [(&str, [&str; 3]); 24] = [
    ("listen", ["127.0.0.1:1001", "127.0.0.1:1002", "127.0.0.1:1003"]),
    ("metrics_listen", ["127.0.0.1:2001", "127.0.0.1:2002", "127.0.0.1:2003"]),
    ("sqlite", ["/file.db", "/environment.db", "/flag.db"]),
    ("connect_timeout_ms", ["11", "12", "13"]),
    ("cache_mib", ["21", "22", "23"]),
    ("filter_dir", ["/tmp", "/var/tmp", "/dev/shm"]),
    ("staleness_limit_ms", ["31", "32", "33"]),
    ("degraded_limit_ms", ["41", "42", "43"]),
    ("stale_reads_per_s", ["45", "46", "47"]),
    ("feed_interval_ms", ["51", "52", "53"]),
    ("lanes", ["1", "2", "3"]),
    ("query_timeout_ms", ["61", "62", "63"]),
    ("failover_wait_ms", ["65", "66", "67"]),
    ("request_timeout_ms", ["71", "72", "73"]),
    ("overload_lag_ms", ["72", "74", "76"]),
    ("start_timeout_s", ["75", "76", "77"]),
    ("drain_timeout_ms", ["81", "82", "83"]),
    ("max_connections", ["91", "92", "93"]),
    ("max_aliases", ["101", "102", "103"]),
    ("audit_sample", ["0.1", "0.2", "1"]),
    ("retention_s", ["1001", "1002", "1003"]),
    ("sweep_pause_ms", ["111", "112", "113"]),
    ("log_format", ["auto", "json", "text"]),
    ("log", ["error", "warn", "debug"]),
];

/// A value as it is written in the file.
fn value(text: &str) -> Value {
    let number = text.parse::<i64>().map(Value::from).ok();
    let number = number.or_else(|| text.parse::<f64>().map(Value::from).ok());
    number.unwrap_or_else(|| Value::from(text))
}

/// The configuration that `aka serve` would use. `sets`: whether a layer (0 the file, 1 the
/// environment, 2 the flags) sets a key.
async fn printed(path: &Path, sets: impl Fn(usize, &str) -> bool) -> Table {
    let mut serve = aka(["serve", "--print-config"]).env("AKA_CONFIG", path);
    let mut file = Table::new();
    for (key, [in_file, in_environment, as_flag]) in SETTINGS {
        if sets(0, key) {
            file.insert(key.to_owned(), value(in_file));
        }
        if sets(1, key) {
            serve = serve.env(&format!("AKA_{}", key.to_uppercase()), in_environment);
        }
        if sets(2, key) {
            serve = serve.args([format!("--{}", key.replace('_', "-")), as_flag.to_owned()]);
        }
    }
    std::fs::write(path, file.to_string()).expect("it can be written");
    serve.run().await.succeeded().parse().expect("it prints TOML")
}

#[tokio::test]
async fn each_setting_is_taken_from_the_topmost_layer() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("aka.toml");
    for top in 0..3 {
        let all = printed(&path, |layer, _| layer <= top).await;
        let above_nothing = printed(&path, |layer, _| layer == top).await;
        for (key, values) in SETTINGS {
            assert_eq!(all[key], value(values[top]), "{key}");
            assert_eq!(above_nothing[key], value(values[top]), "{key}");
        }
    }
    // Each layer sets a third of the settings.
    let layer_of =
        |wanted: &str| SETTINGS.iter().position(|(key, _)| *key == wanted).expect("a key") % 3;
    let mixed = printed(&path, |layer, key| layer == layer_of(key)).await;
    for (key, values) in SETTINGS {
        assert_eq!(mixed[key], value(values[layer_of(key)]), "{key}");
    }
}

#[tokio::test]
async fn lists_are_replaced_as_a_whole() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("aka.toml");
    let text = "shards = [\"mysql://a@f0/aka\", \"mysql://a@f1/aka\"]\nplaceholders = [\"file\"]\n";
    std::fs::write(&path, text).expect("it can be written");
    let serve = || aka(["serve", "--print-config", "--config"]).args([&path]);
    let strings = |list: [&str; 2]| Value::from(list.map(str::to_owned).to_vec());
    let table = |ended: aka_test_support::Ended| -> Table {
        ended.succeeded().parse().expect("it prints TOML")
    };

    let file = table(serve().run().await);
    assert_eq!(file["shards"], strings(["mysql://a@f0/aka", "mysql://a@f1/aka"]));
    assert_eq!(file["placeholders"], Value::from(vec!["file"]));

    let with_environment = || {
        let serve = serve().env("AKA_SHARDS", "mysql://a@e0/aka,mysql://a@e1/aka");
        serve.env("AKA_PLACEHOLDERS", "none,Nobody")
    };
    let environment = table(with_environment().run().await);
    assert_eq!(environment["shards"], strings(["mysql://a@e0/aka", "mysql://a@e1/aka"]));
    assert_eq!(environment["placeholders"], strings(["nobody", "none"]));

    let flags =
        ["--shard", "mysql://a@g0/aka", "--shard", "mysql://a@g1/aka", "--placeholder", "x"];
    let flags = table(with_environment().args(flags).run().await);
    assert_eq!(flags["shards"], strings(["mysql://a@g0/aka", "mysql://a@g1/aka"]));
    assert_eq!(flags["placeholders"], Value::from(vec!["x"]));
}

#[tokio::test]
async fn the_printed_configuration_works_as_a_file() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("printed.toml");
    // A path and a placeholder that must be quoted.
    let flags = ["--sqlite", "/a \"b\"\\c.db", "--placeholder", "it's \"nobody\"\t"];
    let printed = aka(["serve", "--print-config"]).args(flags).run().await.succeeded();
    std::fs::write(&path, &printed).expect("it can be written");
    let again = aka(["serve", "--print-config", "--config"]).args([&path]);
    assert_eq!(again.run().await.succeeded(), printed);
}

#[tokio::test]
async fn secrets_are_not_printed() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let (path, password) = (folder.path().join("aka.toml"), folder.path().join("password"));
    // `Ended` checks of every command that no secret is shown. This test checks that the rest is.
    std::fs::write(&path, format!("shards = [\"mysql://aka:{SECRET}@db0/aka\"]\n"))
        .expect("it can be written");
    std::fs::write(&password, format!("{SECRET}\n")).expect("it can be written");
    let serve = || aka(["serve", "--print-config", "--config"]).args([&path]);
    let printed = serve().run().await.succeeded();
    assert!(printed.contains("mysql://aka:***@db0/aka"), "{printed}");
    assert!(printed.contains("password of shards whose URL has none: not set"), "{printed}");
    let from_file = serve().args(["--shard-password-file".as_ref(), password.as_os_str()]);
    for set in [from_file, serve().env("AKA_SHARD_PASSWORD", SECRET)] {
        let printed = set.run().await.succeeded();
        assert!(printed.contains("password of shards whose URL has none: set"), "{printed}");
    }
}

/// The commas between the servers of a shard are not those between shards.
#[tokio::test]
async fn a_shard_of_several_servers_is_one_shard() {
    let group = "mysql://a@e0,e1:3307,e2/aka";
    let both = format!("{group},mysql://a@e3/aka");
    let serve = || aka(["serve", "--print-config"]);
    for serve in [
        serve().env("AKA_SHARDS", &both),
        serve().args(["--shard", &both]),
        serve().args(["--shard", group, "--shard", "mysql://a@e3/aka"]),
    ] {
        let printed: Table = serve.run().await.succeeded().parse().expect("it prints TOML");
        let shards = printed["shards"].as_array().expect("a list");
        assert_eq!(shards.len(), 2, "{shards:?}");
        assert_eq!(shards[0].as_str(), Some("mysql://a@e0,e1:3307,e2:3306/aka"));
    }
    let wrong = serve().args(["--shard", group, "--staleness-limit-ms", "100"]);
    wrong.run().await.failed(64, &["staleness_limit_ms", "500"]);
    let twice = serve().args(["--shard", "mysql://a@e0,e0:3306/aka"]);
    twice.run().await.failed(64, &["e0:3306", "twice"]);
}
