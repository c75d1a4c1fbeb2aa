//! Quotas of projects: what is above is refused whole, and others do not notice.

use aka_test_support::{
    Aka, Database, PROJECT, aka, aka_serve, assert_refused, backend, create_request, eventually,
};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;
use tonic::{Code, Status};

const OTHER: u64 = PROJECT + 1;

/// A file of limits.
struct LimitsText {
    _folder: TempDir,
    path: PathBuf,
}

impl LimitsText {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let limits = Self { path: folder.path().join("limits.toml"), _folder: folder };
        limits.write(text);
        limits
    }

    fn write(&self, text: &str) {
        let new = self.path.with_extension("new");
        fs::write(&new, text).expect("it can be written");
        fs::rename(new, &self.path).expect("it can be renamed");
    }

    fn flag(&self) -> [String; 2] {
        ["--limits-file".to_owned(), self.path.display().to_string()]
    }
}

async fn start(limits: &LimitsText) -> (Database, Aka) {
    let database = Database::create(backend::sqlite()).await;
    let flag = limits.flag();
    let flags = flag.each_ref().map(String::as_str);
    let aka = Aka::serve_with_env(&database, &flags, &[("AKA_FILES_LOOK_MS", "10")]).await;
    (database, aka)
}

/// Above the quota. Returns after how long the client may try again.
fn assert_exceeded(status: &Status) -> Duration {
    let details = assert_refused(status, Code::ResourceExhausted, "QUOTA_EXCEEDED");
    let delay = details.retry_info().and_then(|info| info.retry_delay).expect("a delay");
    let pushback = status.metadata().get("grpc-retry-pushback-ms").expect("a pushback");
    assert_eq!(pushback.to_str().expect("ascii"), delay.as_millis().to_string());
    delay
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lookups_above_the_quota_are_refused_whole() {
    // An id in 100 s: nothing comes back while the test runs.
    let limits =
        LimitsText::new(&format!("[project.{PROJECT}]\nlookups_per_s = 0.01\nburst_s = 1000\n"));
    let (_database, aka) = start(&limits).await;
    aka.batch_resolve(PROJECT, ["a", "b", "c", "d", "e", "f", "g"]).await.expect("seven of ten");
    let refused = aka.batch_resolve(PROJECT, ["a", "b", "c", "d"]).await.expect_err("eleven");
    let delay = assert_exceeded(&refused);
    assert!(delay > Duration::from_secs(80) && delay <= Duration::from_secs(100), "{delay:?}");
    aka.batch_resolve(PROJECT, ["a", "b", "c"]).await.expect("nothing was taken before");
    assert_exceeded(&aka.resolve(PROJECT, "a").await.expect_err("ten are taken"));
    let batches = tokio_stream::iter([aka_test_support::batch_request(PROJECT, ["a"])]);
    let mut stream = aka.resolver().stream_resolve(batches).await.expect("a stream").into_inner();
    assert_exceeded(&stream.message().await.expect_err("ten are taken"));
    // What is wrong takes nothing from the quota, and other projects have their own.
    aka.batch_resolve(OTHER, vec!["a"; 1_000]).await.expect("no limit");
    aka.create(PROJECT, "bob", "alice").await.expect("no limit for writes");
    assert_eq!(aka.metric("aka_shed_total", &["reason=\"quota\""]).await, 3.0);

    limits.write("[default]\nlookups_per_s = 1000\n");
    eventually("the new limits hold", async || aka.resolve(PROJECT, "a").await.ok()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_above_the_quota_are_refused_and_reads_are_not() {
    let limits =
        LimitsText::new(&format!("[project.{PROJECT}]\nwrites_per_s = 0.01\nburst_s = 300\n"));
    let (_database, aka) = start(&limits).await;
    let version = aka.create(PROJECT, "bob", "alice").await.expect("one of three");
    let version = version.alias.expect("an alias").version;
    let requests = [(PROJECT, "b1"), (OTHER, "b2"), (PROJECT, "b3"), (PROJECT, "b4")];
    let requests = requests.map(|(project, id)| create_request(project, id, "alice"));
    let results = aka.create_all(requests.into()).await.expect("an answer").results;
    let reasons = results.into_iter().map(|result| result.failure.map(|failure| failure.reason));
    let exceeded = || Some("QUOTA_EXCEEDED".to_owned());
    // Those of a project are taken together, all or none.
    assert_eq!(reasons.collect::<Vec<_>>(), [exceeded(), None, exceeded(), exceeded()]);
    aka.update(PROJECT, "bob", "carol", version).await.expect("two of three");
    aka.delete(PROJECT, "bob", 0).await.expect("three of three");
    assert_exceeded(&aka.create(PROJECT, "rob", "alice").await.expect_err("a fourth"));
    assert_exceeded(&aka.delete(PROJECT, "b2", 0).await.expect_err("a fourth"));
    aka.list(PROJECT, "alice", 0, "").await.expect("reads are free");
    aka.resolve(PROJECT, "bob").await.expect("lookups have no limit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_file_keeps_the_old_limits() {
    let limits = LimitsText::new("[default]\nlookups_per_s = 0.01\nburst_s = 100\n");
    let (_database, aka) = start(&limits).await;
    aka.resolve(PROJECT, "a").await.expect("one of one");
    limits.write("[default]\nlookups = 5\n");
    eventually("it is refused", async || {
        let labels = ["what=\"limits\"", "result=\"failed\""];
        (aka.metric("aka_reloads_total", &labels).await == 1.0).then_some(())
    })
    .await;
    assert_exceeded(&aka.resolve(PROJECT, "a").await.expect_err("the old limit"));

    let flag = limits.flag();
    let database = Database::create(backend::sqlite()).await;
    let refused = aka_serve(database.flags()).args(flag).run().await;
    refused.failed(64, &["limits.toml cannot be used", "lookups"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_waits_for_its_quota() {
    let limits = LimitsText::new("[default]\nwrites_per_s = 3000\nburst_s = 0.1\n");
    let (_database, server) = start(&limits).await;
    let rows = (0..3_000).map(|n| format!("{PROJECT},alias-{n},person-{n}\n"));
    let csv = limits.path.with_extension("csv");
    fs::write(&csv, format!("project_id,alias_id,canonical_id\n{}", rows.collect::<String>()))
        .expect("it can be written");
    let to = format!("http://{}", server.grpc);
    let file = csv.display().to_string();
    let import = aka(["import", "--server", &to, &file]).run().await;
    assert_eq!(import.code, Some(0), "{import}");
    let last = server.get(PROJECT, "alias-2999").await.expect("it was imported");
    assert_eq!(&last.canonical_id[..], b"person-2999");
    assert!(server.metric("aka_shed_total", &["reason=\"quota\""]).await > 0.0);
}
