//! Import and export of what people have, and what they cost the service.

use aka_test_support::{
    Aka, Backend, Database, Ended, PATIENCE, PROJECT, aka, aka_program, check_is_clean, eventually,
    kill_and_wait, spawn, start,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Instant;
use tempfile::TempDir;

/// The aliases of a database: project, alias and canonical id.
async fn aliases(database: &Database) -> Vec<[String; 3]> {
    let exported = aka(["export"]).args(database.flags()).run().await;
    exported.succeeded();
    let text = |row: &Value, field: &str| row[field].as_str().expect("a text").to_owned();
    let row = |row: Value| ["project_id", "alias_id", "canonical_id"].map(|name| text(&row, name));
    let mut rows: Vec<_> = exported.json().into_iter().map(row).collect();
    rows.sort_unstable();
    rows
}

async fn import(server: &Aka, refused: &Path, args: &[&str], rows: &str) -> Ended {
    let import = aka(["import", "--format", "csv", "--refused"]).args([refused]);
    let import = import.args(["--server", &server.grpc.to_string()]).args(args);
    import.input(rows).run().await
}

fn refused_rows(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// What somebody typed into a form, whose line breaks spreadsheets keep.
const NOTE: &str = "\"called twice\r\n2,alice@corp.example,mallory,\n, \"\"urgent\"\"\n\"";

on_backends!(a_quoted_line_break_ends_no_row: sqlite);

async fn a_quoted_line_break_ends_no_row(backend: Backend) {
    for (header, row) in [
        ("project_id,alias_id,canonical_id,note", format!("1,alice,bob,{NOTE}")),
        ("note,project_id,alias_id,canonical_id", format!("{NOTE},1,alice,bob")),
        ("project_id,note,alias_id,canonical_id", format!("1,{NOTE},alice,bob")),
    ] {
        for end in ["\n", "\r\n", ""] {
            let (database, server) = start(backend).await;
            let folder = tempfile::tempdir().expect("a temporary folder can be made");
            let refused = folder.path().join("refused");
            let rows = format!("{header}\r\n{row}{end}");
            let ended = import(&server, &refused, &[], &rows).await;
            assert_eq!(ended.succeeded(), "1 created, 0 unchanged, 0 refused\n", "{rows:?}");
            assert_eq!(aliases(&database).await, [["1", "alice", "bob"].map(str::to_owned)]);
        }
    }
}

on_backends!(rows_that_are_none_are_filed_and_no_others: sqlite);

/// Lines are counted as an editor counts them.
async fn rows_that_are_none_are_filed_and_no_others(backend: Backend) {
    let (database, server) = start(backend).await;
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let refused = folder.path().join("refused");
    // The last quote is left open: what follows may be a text.
    let rows = format!(
        "note,project_id,alias_id,canonical_id\n{NOTE},1,a,x\nno, quotes,1,b,x\n\
         \"one \"quote\" too many\",1,c,x\n{NOTE},1,self,self\nfine,1,d,x\n\
         \"open,1,e,x\n2,alice,mallory,\nfine,1,f,x\n"
    );
    let ended = import(&server, &refused, &[], &rows).await;
    assert_eq!(ended.code, Some(1), "{ended}");
    assert!(ended.text().starts_with("2 created, 0 unchanged, 4 refused"), "{ended}");
    let of = |alias: &str| ["1", alias, "x"].map(str::to_owned);
    assert_eq!(aliases(&database).await, [of("a"), of("d")]);
    let filed = refused_rows(&refused);
    let seen: Vec<_> = filed.iter().map(|row| (row["line"].as_u64(), &row["error"])).collect();
    for ((line, error), (right, reason, part)) in seen.iter().zip([
        (6, "MALFORMED_ROW", "5 fields"),
        (7, "MALFORMED_ROW", "text follows a closing quote on line 7"),
        (8, "SELF_ALIAS", ""),
        (13, "MALFORMED_ROW", "the quote that opens on line 13 is not closed"),
    ]) {
        assert_eq!((*line, error["reason"].as_str()), (Some(right), Some(reason)), "{filed:?}");
        assert!(error["message"].as_str().is_some_and(|text| text.contains(part)), "{error}");
    }
    assert_eq!(filed.len(), 4, "{filed:?}");

    // A row belongs to the line that it begins on.
    for (line, unchanged) in [(2, 2), (3, 1), (12, 1), (13, 0)] {
        let again = import(&server, &refused, &["--from-line", &line.to_string()], &rows).await;
        let text = again.text();
        assert!(text.starts_with(&format!("0 created, {unchanged} unchanged, ")), "{again}");
    }
    let endless = format!("project_id,alias_id,canonical_id\n1,g,x\n\"{}", "x\n".repeat(600_000));
    let ended = import(&server, &refused, &[], &endless).await;
    assert_eq!(ended.code, Some(2), "{ended}");
    assert!(ended.stderr.contains("go on with --from-record 2\n"), "{ended}");
    assert!(ended.stderr.contains("is the quote that opens on line 3 closed?"), "{ended}");
}

/// An import whose stdin stays open.
struct Importing {
    process: Child,
    rows: ChildStdin,
}

impl Importing {
    fn start(server: &Aka, refused: &Path) -> Self {
        let mut command = Command::new(aka_program());
        command.env_clear().args(["import", "--server", &server.grpc.to_string(), "--refused"]);
        command.arg(refused).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = spawn(command).expect("aka can be started");
        let rows = process.stdin.take().expect("piped");
        Self { process, rows }
    }

    /// Sends a signal and waits for the end. Returns the exit code and what it said.
    async fn end(mut self, signal: Signal) -> (Option<i32>, String) {
        kill_process(Pid::from_child(&self.process), signal).expect("it runs");
        let ended = async || self.process.try_wait().expect("a child");
        let status = eventually("the import ends", ended).await;
        let mut said = String::new();
        let mut stderr = self.process.stderr.take().expect("piped");
        stderr.read_to_string(&mut said).expect("UTF-8");
        (status.code(), said)
    }
}

/// Rows of which every thousandth, the last of a call, is refused.
fn rows(numbers: std::ops::Range<usize>) -> String {
    let row = |n: usize| {
        let (alias, canonical) = (format!("m{n}"), format!("c{}", n / 2));
        let canonical = if n % 1_000 == 999 { &alias } else { &canonical };
        format!(
            "{{\"project_id\":{PROJECT},\"alias_id\":\"{alias}\",\"canonical_id\":\"{canonical}\"}}\n"
        )
    };
    numbers.map(row).collect()
}

on_backends!(an_import_that_is_stopped_says_where: sqlite);

async fn an_import_that_is_stopped_says_where(backend: Backend) {
    for signal in [Signal::INT, Signal::TERM] {
        let (database, server) = start(backend).await;
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let refused = folder.path().join("refused");
        let mut importing = Importing::start(&server, &refused);
        importing.rows.write_all(rows(0..1_000).as_bytes()).expect("it reads");
        let settled = async || (refused_rows(&refused).len() == 1).then_some(());
        eventually("the first call is settled", settled).await;
        // No other write is possible, so the second call is retried for a minute.
        let mut owner = database.connect(0).await;
        owner.execute("BEGIN IMMEDIATE").await;
        importing.rows.write_all(rows(1_000..2_500).as_bytes()).expect("it reads");
        let began = Instant::now();
        let (code, said) = importing.end(signal).await;
        assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
        owner.execute("ROLLBACK").await;
        assert_eq!(code, Some(1), "{said}");
        let go_on = "aka: stopped after 999 created, 0 unchanged, 1 refused (see ";
        assert!(said.starts_with(go_on), "{said}");
        assert!(said.contains("what is before row 1001 is done: go on with --from-record 1001\n"));
        assert!(said.contains("INTERRUPTED: "), "{said}");

        let rest = aka(["import", "--from-record", "1001", "--server", &server.grpc.to_string()]);
        let rest = rest.args(["--refused".as_ref(), refused.as_os_str()]);
        let rest = rest.input(rows(0..2_500)).run().await;
        assert_eq!(rest.code, Some(1), "{rest}");
        assert_eq!(refused_rows(&refused).len(), 2, "{rest}");
        assert_eq!(aliases(&database).await.len(), 2_498);
        check_is_clean(&database).await;
    }
}

/// The path of a SQLite database's write-ahead log.
fn log_of(database: &Database) -> PathBuf {
    let [_, path] = &database.flags()[..] else { panic!("a file is named") };
    format!("{path}-wal").into()
}

/// An export that has printed its first row, and that nobody reads any further.
struct SlowExport {
    process: Child,
    stdout: BufReader<std::process::ChildStdout>,
}

impl SlowExport {
    async fn start(database: &Database, folder: &TempDir) -> Self {
        let mut command = Command::new(aka_program());
        command.env_clear().env("TMPDIR", folder.path()).arg("export").args(database.flags());
        command.stdout(Stdio::piped());
        let mut process = spawn(command).expect("aka runs");
        let mut stdout = BufReader::new(process.stdout.take().expect("piped"));
        let mut first = String::new();
        stdout.read_line(&mut first).expect("a first row");
        Self { process, stdout }
    }

    /// How many more rows it prints.
    fn rest(mut self) -> usize {
        let lines: Result<Vec<_>, _> = self.stdout.by_ref().lines().collect();
        let rows = lines.expect("UTF-8").len();
        assert!(self.process.wait().expect("a child").success());
        rows
    }
}

impl Drop for SlowExport {
    fn drop(&mut self) {
        kill_and_wait(&mut self.process);
    }
}

/// Measured: 6 MB; and 59 MB where a snapshot waits for the reader of the output.
const LOG_BYTES: u64 = 24 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_of_an_export_does_not_make_the_log_grow() {
    let (database, server) = start(Backend::Sqlite).await;
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let refused = folder.path().join("refused");
    let mut importing = Importing::start(&server, &refused);
    importing.rows.write_all(rows(0..5_000).as_bytes()).expect("it reads");
    let imported = async || (refused_rows(&refused).len() == 5).then_some(());
    eventually("a first part is imported", imported).await;

    // More than the pipe holds, so the export waits for this test.
    let export = SlowExport::start(&database, &folder).await;
    let mut longest = 0;
    for thousand in 5..25 {
        let part = rows(thousand * 1_000..(thousand + 1) * 1_000);
        importing.rows.write_all(part.as_bytes()).expect("it reads");
        let imported = async || (refused_rows(&refused).len() == thousand + 1).then_some(());
        eventually("a part is imported", imported).await;
        longest = longest.max(std::fs::metadata(log_of(&database)).expect("a log").len());
    }
    assert!(longest < LOG_BYTES, "the log has {longest} bytes");
    // It is of one moment, and its file has no name.
    assert_eq!(export.rest(), 4_994);
    let left: Vec<_> = std::fs::read_dir(folder.path()).expect("a folder").collect();
    assert_eq!(left.len(), 1, "only the refused rows: {left:?}");
    kill_and_wait(&mut importing.process);
}

on_backends!(no_snapshot_waits_for_the_reader_of_an_export: mysql_1 mariadb_1);

async fn no_snapshot_waits_for_the_reader_of_an_export(backend: Backend) {
    let (database, server) = start(backend).await;
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let refused = folder.path().join("refused");
    let mut importing = Importing::start(&server, &refused);
    importing.rows.write_all(rows(0..5_000).as_bytes()).expect("it reads");
    let imported = async || (refused_rows(&refused).len() == 5).then_some(());
    eventually("all rows are imported", imported).await;
    let export = SlowExport::start(&database, &folder).await;
    let mut watcher = database.connect(0).await;
    let open = "SELECT COUNT(*) FROM information_schema.innodb_trx t \
        JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id \
        WHERE p.db = DATABASE() AND p.command = 'Sleep'";
    let ended = async || (watcher.number(open).await == 0).then_some(());
    eventually("the snapshot is given up", ended).await;
    assert_eq!(export.rest(), 4_994);
    kill_and_wait(&mut importing.process);
}

on_backends!(an_export_whose_temporary_folder_is_missing_says_so: sqlite);

async fn an_export_whose_temporary_folder_is_missing_says_so(backend: Backend) {
    let (database, server) = start(backend).await;
    server.create(PROJECT, "bob", "alice").await.expect("created");
    let export = || aka(["export"]).args(database.flags());
    let nowhere = export().env("TMPDIR", "/nowhere").run().await;
    nowhere.failed(74, &["TMPDIR", "No such file"]);
    let empty = export().env("TMPDIR", "").run().await;
    assert_eq!(empty.succeeded().lines().count(), 1);
}
