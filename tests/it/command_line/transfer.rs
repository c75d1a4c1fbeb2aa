//! `aka export` and `aka import`.

use super::client;
use aka_test_support::{
    Aka, Backend, Database, Ended, PROJECT, aka, aka_program, check_is_clean, eventually, slot_of,
    spawn, start,
};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Ids that NDJSON or CSV could get wrong.
const PAIRS: [(&str, &str); 6] = [
    ("plain", "someone"),
    ("a,b", "quo\"ted"),
    (" blank ", "someone"),
    ("123", "45"),
    ("d\u{e9}j\u{e0} \u{1F600}", "e\u{301}"),
    ("{\"json\":1}", "#comment"),
];

const OTHER_PROJECT: u64 = i64::MAX as u64;

async fn some_aliases(aka: &Aka) {
    for (alias, canonical) in PAIRS {
        aka.create(PROJECT, alias, canonical).await.expect("created");
    }
    aka.create(OTHER_PROJECT, "plain", "someone else").await.expect("created");
}

async fn export(database: &Database, format: &str) -> String {
    aka(["export", "--format", format]).args(database.flags()).run().await.succeeded()
}

type Triple = (String, String, String);

/// The aliases of an export.
fn triples(ndjson: &str) -> BTreeSet<Triple> {
    let text = |row: &Value, field: &str| row[field].as_str().expect("a text").to_owned();
    let rows = ndjson.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    rows.map(|row| {
        let [project, alias, canonical] =
            ["project_id", "alias_id", "canonical_id"].map(|field| text(&row, field));
        (project, alias, canonical)
    })
    .collect()
}

on_backends!(an_export_can_be_imported: sqlite mysql_3 mariadb_1);

async fn an_export_can_be_imported(backend: Backend) {
    let (database, server) = start(backend).await;
    some_aliases(&server).await;
    let exported = export(&database, "ndjson").await;
    let all = triples(&exported);
    assert_eq!(exported.lines().count(), PAIRS.len() + 1);
    assert_eq!(all.len(), PAIRS.len() + 1);
    assert!(all.contains(&(OTHER_PROJECT.to_string(), "plain".into(), "someone else".into())));
    // A row is what `aka alias get` shows.
    let got = client(&server, ["alias", "get", "123", "--output", "json"]).run().await.json();
    assert!(
        exported
            .lines()
            .any(|line| serde_json::from_str::<Value>(line).ok() == Some(got[0].clone()))
    );

    for (format, text) in [("ndjson", exported), ("csv", export(&database, "csv").await)] {
        let (copy, other) = start(Backend::Sqlite).await;
        let import = ["import", "--format", format, "--output", "json", "--refused", "/dev/null"];
        let counts = client(&other, import).input(text.clone()).run().await.json();
        assert_eq!(counts, [serde_json::json!({"created": 7, "unchanged": 0, "refused": 0})]);
        assert_eq!(triples(&export(&copy, "ndjson").await), all);
        let again = client(&other, import).input(text).run().await.json();
        assert_eq!(again, [serde_json::json!({"created": 0, "unchanged": 7, "refused": 0})]);
        check_is_clean(&copy).await;
    }
}

on_backends!(an_export_is_of_one_moment: sqlite mysql_1);

/// More rows than one query brings, and more than a pipe holds: the export waits for its reader
/// while one of the last rows is deleted.
async fn an_export_is_of_one_moment(backend: Backend) {
    const ROWS: usize = 5_000;
    let (database, server) = start(backend).await;
    let ids: Vec<String> = (0..ROWS).map(|n| format!("alias-{n}")).collect();
    let row = |id| {
        format!("{{\"project_id\":{PROJECT},\"alias_id\":\"{id}\",\"canonical_id\":\"c-{id}\"}}\n")
    };
    let rows: String = ids.iter().map(row).collect();
    client(&server, ["import", "--refused", "/dev/null"]).input(rows).run().await.succeeded();
    let last = ids.iter().max_by_key(|id| (slot_of(PROJECT, id.as_bytes()), *id)).expect("ids");

    let mut command = Command::new(aka_program());
    command.env_clear().env("HOME", "/dev/null").arg("export").args(database.flags());
    command.stdout(Stdio::piped());
    let mut process = spawn(command).expect("aka runs");
    let mut stdout = BufReader::new(process.stdout.take().expect("piped"));
    let mut exported = String::new();
    stdout.read_line(&mut exported).expect("a first row");
    server.delete(PROJECT, last, 0).await.expect("deleted");
    stdout.read_to_string(&mut exported).expect("the rest");
    assert!(process.wait().expect("it ends").success());
    assert_eq!(triples(&exported).len(), ROWS);
    assert_eq!(triples(&export(&database, "ndjson").await).len(), ROWS - 1);
}

fn refused_rows(folder: &TempDir) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.path().join("refused")).expect("a file");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

async fn import(server: &Aka, folder: &TempDir, args: &[&str], rows: &str) -> Ended {
    let refused = folder.path().join("refused");
    client(server, ["import", "--refused"]).args([&refused]).args(args).input(rows).run().await
}

on_backends!(refused_rows_do_not_stop_an_import: sqlite mysql_3);

async fn refused_rows_do_not_stop_an_import(backend: Backend) {
    let (database, server) = start(backend).await;
    let folder = TempDir::new().expect("a folder");
    server.create(PROJECT, "taken", "owner").await.expect("created");
    let row = |alias: &str, canonical: &str| {
        format!(
            "{{\"project_id\":{PROJECT},\"alias_id\":\"{alias}\",\"canonical_id\":\"{canonical}\"}}\n"
        )
    };
    let rows = [
        row("one", "owner"),
        row("taken", "thief"),
        "no JSON\n".to_owned(),
        row("self", "self"),
        "\n".to_owned(),
        row("", "owner"),
        row("two", "owner"),
        row("three", "owner").trim_end().to_owned(),
    ]
    .concat();
    let ended = import(&server, &folder, &[], &rows).await;
    assert_eq!(ended.code, Some(1), "{ended}");
    assert!(ended.text().starts_with("3 created, 0 unchanged, 4 refused (see /"), "{ended}");
    assert!(ended.stderr.contains("4 of 7 failed"), "{ended}");
    let refused = refused_rows(&folder);
    let of = |field: &str| -> Vec<Value> { refused.iter().map(|row| row[field].clone()).collect() };
    assert_eq!(of("line"), [2, 3, 4, 6]);
    let reason = |row: &Value| row["error"]["reason"].as_str().expect("a reason").to_owned();
    let reasons: Vec<_> = refused.iter().map(reason).collect();
    assert_eq!(reasons, ["ALIAS_TAKEN", "MALFORMED_ROW", "SELF_ALIAS", "INVALID_ID"]);
    for id in ["one", "two", "three"] {
        assert!(server.resolve(PROJECT, id).await.expect("answered").is_alias);
    }

    // The conflict is gone, so the row is imported from the file of refused rows.
    server.delete(PROJECT, "taken", 0).await.expect("deleted");
    let first = serde_json::to_string(&refused[0]).expect("JSON");
    let ended = import(&server, &folder, &[], &first).await;
    assert_eq!(ended.succeeded(), "1 created, 0 unchanged, 0 refused\n");
    assert_eq!(server.resolve(PROJECT, "taken").await.expect("answered").canonical_id, "thief");
    check_is_clean(&database).await;
}

/// 2,500 rows, so three calls.
fn many() -> String {
    let rows = (0..2_500).map(|n| format!("{PROJECT},m{n},c{n}\n"));
    "project_id,alias_id,canonical_id\n".to_owned() + &rows.collect::<String>()
}

on_backends!(a_stopped_import_can_be_resumed: mysql_1);

async fn a_stopped_import_can_be_resumed(backend: Backend) {
    let (database, server) = start(backend).await;
    let folder = TempDir::new().expect("a folder");
    let mut owner = database.connect(0).await;
    owner.execute("LOCK TABLES alias WRITE").await;
    let impatient = ["--format", "csv", "--timeout-ms", "300", "--retry-s", "0"];
    let ended = import(&server, &folder, &impatient, &many()).await;
    assert_eq!(ended.code, Some(1), "{ended}");
    assert!(ended.stderr.contains("go on with --from-record 1\n"), "{ended}");
    assert!(ended.stderr.contains("DEADLINE_EXCEEDED"), "{ended}");

    // A patient import waits until the shard is well again.
    let patient = ["--format", "csv", "--timeout-ms", "300"];
    let heal = async {
        let mut watcher = database.connect(0).await;
        let waiting = "SELECT COUNT(*) FROM information_schema.processlist \
            WHERE db = DATABASE() AND state LIKE 'Waiting for table%'";
        let waits = async || (watcher.number(waiting).await > 0).then_some(());
        eventually("a write waits for the table", waits).await;
        owner.execute("UNLOCK TABLES").await;
    };
    let (rows, from) = (many(), ["--from-line", "502"]);
    let args: Vec<&str> = patient.iter().chain(&from).copied().collect();
    let (ended, ()) = tokio::join!(import(&server, &folder, &args, &rows), heal);
    assert!(ended.succeeded().ends_with(", 0 refused\n"));
    let aliases = async |id: &str| server.resolve(PROJECT, id).await.expect("answered").is_alias;
    // Line 502 is row m500.
    assert!(aliases("m500").await && aliases("m2499").await);
    let rest = import(&server, &folder, &["--format", "csv"], &rows).await.succeeded();
    let counts: Vec<u64> = rest.split(' ').filter_map(|word| word.parse().ok()).collect();
    assert_eq!(counts.iter().sum::<u64>(), 2_500, "{rest}");
    assert!(counts[1] >= 2_000, "{rest}");
    check_is_clean(&database).await;
}

on_backends!(unusable_input_is_refused_at_once: sqlite);

async fn unusable_input_is_refused_at_once(backend: Backend) {
    let (_database, server) = start(backend).await;
    let folder = TempDir::new().expect("a folder");
    import(&server, &folder, &[], &many()).await.failed(2, &["line 1: ", "--format"]);
    let no_column = "project_id,alias_id\n1,a\n";
    import(&server, &folder, &["--format", "csv"], no_column).await.failed(2, &["canonical_id"]);
    let missing = client(&server, ["import", "/nowhere.ndjson"]).run().await;
    missing.failed(2, &["/nowhere.ndjson"]);
    assert!(!folder.path().join("refused").exists());
    let nobody = aka(["import", "--server", "127.0.0.1:1"]).input(many()).run().await;
    nobody.failed(69, &["cannot reach"]);
    let no_file = aka(["export", "--sqlite", "/nowhere/aka.db"]).run().await;
    no_file.failed(69, &["/nowhere/aka.db"]);
}

on_backends!(formulas_are_guarded_if_asked: sqlite);

async fn formulas_are_guarded_if_asked(backend: Backend) {
    let (database, server) = start(backend).await;
    let formula = "=HYPERLINK(\"http://evil.example\")";
    for (alias, canonical) in [(formula, "@p"), ("-x", "+1"), ("a=1", "'=x")] {
        server.create(PROJECT, alias, canonical).await.expect("created");
    }
    let ids = |csv: String| -> BTreeSet<(String, String)> {
        let mut reader = csv::Reader::from_reader(csv.as_bytes());
        let rows = reader.records().map(|row| row.expect("CSV"));
        rows.map(|row| (row[1].to_owned(), row[2].to_owned())).collect()
    };
    let pairs = |pairs: [(&str, &str); 3]| -> BTreeSet<(String, String)> {
        pairs.into_iter().map(|(alias, of)| (alias.to_owned(), of.to_owned())).collect()
    };
    let plain = export(&database, "csv").await;
    assert_eq!(ids(plain), pairs([(formula, "@p"), ("-x", "+1"), ("a=1", "'=x")]));
    let guarded = aka(["export", "--format", "csv", "--guard-formulas"]).args(database.flags());
    let guarded = guarded.run().await.succeeded();
    let formula = format!("'{formula}");
    assert_eq!(ids(guarded), pairs([(&formula, "'@p"), ("'-x", "'+1"), ("a=1", "'=x")]));
    let json = aka(["export", "--guard-formulas"]).args(database.flags()).run().await;
    json.failed(2, &["--format csv only"]);
}
