//! The filter outlives its process. A saved filter spares a scan, and is used only if the log
//! continues from it.
//!
//! Some tests remove the row of an alias without a line in the log. A restored filter still says
//! "perhaps" of its id, and a scanned one says "surely not". That tells the two apart.

use aka_test_support::{Aka, Backend, Database, PROJECT, backend, eventually, hex_literal, start};
use futures::StreamExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

on_backends!(a_restart_reads_only_the_changes_since_the_snapshot: sqlite mysql_3 mariadb_1);
on_backends!(a_snapshot_that_does_not_fit_is_not_used: sqlite mysql_3 mariadb_1);
on_backends!(after_a_crash_the_last_snapshot_is_used: sqlite mysql_1);
on_backends!(a_filter_with_many_dead_ids_is_replaced: sqlite mysql_1);

/// Memory stays fresh even on a busy machine, so answers do not come from the database.
const STEADY: [&str; 2] = ["--staleness-limit-ms", "120000"];

/// Databases, and the folder of the filters of one instance.
struct Site {
    database: Database,
    folder: TempDir,
}

impl Site {
    async fn new(backend: Backend) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        Self { database: Database::create(backend).await, folder }
    }

    /// Starts the instance, and waits until its filters answer.
    async fn serve(&self, environment: &[(&str, &str)]) -> Aka {
        let folder = self.folder.path().to_str().expect("UTF-8");
        let flags = [STEADY, ["--filter-dir", folder]].concat();
        let aka = Aka::serve_with_env(&self.database, &flags, environment).await;
        for shard in 0..self.database.shards() {
            let nobody = &self.database.ids_on(shard, PROJECT, "nobody", 1)[0];
            eventually("the filter answers", async || {
                is_filtered(&aka, nobody).await.then_some(())
            })
            .await;
        }
        aka
    }

    /// Another instance, without filters.
    async fn other(&self) -> Aka {
        Aka::serve(&self.database, &[STEADY, ["--filter", "false"]].concat()).await
    }

    /// Removes the row of an alias without a line in the log.
    async fn hide(&self, id: &str) {
        let sql = format!("DELETE FROM alias WHERE alias_id = {}", hex_literal(id));
        self.database.connect(self.database.shard_of(PROJECT, id)).await.execute(&sql).await;
    }

    fn files(&self) -> Vec<PathBuf> {
        filters_in(self.folder.path())
    }

    /// Takes back the last write of each shard, as a failover that lost it would.
    async fn lose_the_last_write(&self) {
        for shard in 0..self.database.shards() {
            let mut raw = self.database.connect(shard).await;
            let seq = raw.number("SELECT seq FROM shard_meta").await;
            let nonce = format!("SELECT nonce FROM alias_change WHERE seq = {}", seq - 1);
            let nonce = raw.number(&nonce).await;
            for sql in [
                format!("DELETE FROM alias WHERE version = {seq}"),
                format!("DELETE FROM alias_change WHERE seq = {seq}"),
                format!("UPDATE shard_meta SET seq = {}, nonce = {nonce}", seq - 1),
            ] {
                raw.execute(&sql).await;
            }
        }
    }
}

fn filters_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<_> =
        paths.filter(|path| path.extension() == Some("filter".as_ref())).collect();
    paths.sort();
    paths
}

async fn total(aka: &Aka, name: &str) -> usize {
    aka.metric(&format!("aka_filter_{name}"), &[]).await as usize
}

async fn built_from(aka: &Aka, source: &str) -> usize {
    let label = format!("source=\"{source}\"");
    aka.metric("aka_filter_builds_total", &[&label]).await as usize
}

/// Whether the filter says that the id is surely no alias.
async fn is_filtered(aka: &Aka, id: &str) -> bool {
    let filtered = async || aka.metric("aka_lookups_total", &["outcome=\"filtered\""]).await;
    let before = filtered().await;
    let resolved = aka.resolve(PROJECT, id).await.expect("resolved");
    assert!(!resolved.is_alias, "{id}: {resolved:?}");
    filtered().await > before
}

/// Checks that each of these ids is an alias.
async fn are_aliases(aka: &Aka, stem: &str, numbers: std::ops::Range<usize>) {
    let ids: Vec<_> = numbers.map(|n| format!("{stem}-{n}")).collect();
    let resolved = aka.batch_resolve(PROJECT, &ids).await.expect("resolved");
    assert!(resolved.failures.is_empty(), "{:?}", resolved.failures);
    let expected: Vec<_> = ids.iter().map(|id| format!("of-{id}")).collect();
    let found: Vec<_> = resolved.aliases.iter().map(|alias| alias.canonical_id.clone()).collect();
    assert_eq!(found, expected, "{stem}");
}

async fn a_restart_reads_only_the_changes_since_the_snapshot(backend: Backend) {
    let site = Site::new(backend).await;
    let shards = site.database.shards();
    let (other, aka) = (site.other().await, site.serve(&[]).await);
    assert_eq!((total(&aka, "scans_total").await, built_from(&aka, "snapshot").await), (shards, 0));
    aka.create_many("early", 120).await;
    aka.create_many("ghost", 1).await;
    assert!(aka.stop().await.success());
    let files = site.files();
    assert_eq!(files.len(), shards, "{files:?}");
    for file in &files {
        let mode = file.metadata().expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }

    other.create_many("late", 120).await;
    for id in ["early-0", "early-1"] {
        other.delete(PROJECT, id, 0).await.expect("deleted");
    }
    site.hide("ghost-0").await;

    for life in 0..2 {
        let aka = site.serve(&[]).await;
        let built = (total(&aka, "scans_total").await, built_from(&aka, "snapshot").await);
        assert_eq!(built, (0, shards), "nothing is scanned");
        assert!(!is_filtered(&aka, "ghost-0").await, "the table was read");
        are_aliases(&aka, "early", 2..120).await;
        are_aliases(&aka, "late", 0..120).await;
        for gone in ["early-0", "early-1"] {
            assert!(!aka.resolve(PROJECT, gone).await.expect("resolved").is_alias);
        }
        // A restored filter takes changes as any filter does.
        other.create_many(&format!("new-{life}"), 30).await;
        eventually("the feed brings what is new", async || {
            let last = aka.resolve(PROJECT, format!("new-{life}-29")).await.expect("resolved");
            last.is_alias.then_some(())
        })
        .await;
        aka.create_many(&format!("own-{life}"), 30).await;
        are_aliases(&aka, &format!("own-{life}"), 0..30).await;
        assert!(aka.stop().await.success());
        // Each file replaced the one before.
        assert_eq!(site.files(), files);
        let kept = std::fs::read_dir(site.folder.path()).expect("a folder").count();
        assert_eq!(kept, shards + 1, "the snapshots, and the key of the cache");
    }
}

/// A saved filter is not used if it is damaged or foreign, or if the log does not continue from it.
async fn a_snapshot_that_does_not_fit_is_not_used(backend: Backend) {
    let site = Site::new(backend).await;
    let shards = site.database.shards();
    let (elsewhere, other) = (Site::new(backend).await, site.other().await);
    let stranger = elsewhere.serve(&[]).await;
    stranger.create_many("strange", 60).await;
    assert!(stranger.stop().await.success());
    let mut aliases = 0;
    for (round, what) in [
        "nothing",
        "half",
        "flipped",
        "text",
        "folder",
        "foreign",
        "pruned",
        "lost",
        "lost, and more",
    ]
    .into_iter()
    .enumerate()
    {
        // The first instance finds an empty folder, the others the files of the one before.
        let aka = site.serve(&[]).await;
        let (ghost, stem) = (format!("ghost-{round}"), format!("round-{round}"));
        aka.create_many(&ghost, 1).await;
        aka.create_many(&stem, 60).await;
        assert!(aka.stop().await.success());
        let (files, strange) = (site.files(), elsewhere.files());
        assert_eq!((files.len(), strange.len()), (shards, shards));
        files.iter().zip(&strange).for_each(|(file, strange)| damage(file, strange, what));
        change_history(&site, &other, what).await;
        site.hide(&format!("{ghost}-0")).await;

        let aka = site.serve(&[]).await;
        let built = (total(&aka, "scans_total").await, built_from(&aka, "snapshot").await);
        assert_eq!(built, (shards, 0), "{what}");
        assert_eq!(aka.logged("the saved filter is of no use").len(), shards, "{what}");
        assert!(is_filtered(&aka, &format!("{ghost}-0")).await, "{what}: it was used");
        // Lost writes are no aliases any more.
        if !what.starts_with("lost") {
            are_aliases(&aka, &stem, 0..60).await;
        }
        match what {
            "pruned" => are_aliases(&aka, "pruned", 0..60).await,
            "lost, and more" => are_aliases(&aka, "another-history", 0..60).await,
            _ => {}
        }
        assert!(aka.stop().await.success());
        if what == "folder" {
            // A file cannot replace a folder.
            site.files().iter().for_each(|path| std::fs::remove_dir(path).expect("a folder"));
        }
        aliases += 1;
    }
    assert_eq!(aliases, 9);
}

/// Replaces a saved filter.
fn damage(file: &Path, strange: &Path, what: &str) {
    let bytes = std::fs::read(file).expect("a file");
    let replaced = match what {
        "nothing" => Vec::new(),
        "half" => bytes[..bytes.len() / 2].to_vec(),
        "flipped" => {
            let middle = bytes.len() / 2;
            [&bytes[..middle], &[bytes[middle] ^ 1], &bytes[middle + 1..]].concat()
        }
        "text" => b"This is no filter.\n".repeat(1_000),
        "foreign" => std::fs::read(strange).expect("a file"),
        _ => bytes,
    };
    std::fs::remove_file(file).expect("it can be removed");
    match what {
        "folder" => std::fs::create_dir(file).expect("a folder can be made"),
        _ => std::fs::write(file, replaced).expect("it can be written"),
    }
}

/// Changes the log so that it does not continue from the saved filter.
async fn change_history(site: &Site, other: &Aka, what: &str) {
    match what {
        "pruned" => {
            other.create_many("pruned", 60).await;
            for shard in 0..site.database.shards() {
                let mut raw = site.database.connect(shard).await;
                let newest = raw.number("SELECT seq FROM shard_meta").await;
                raw.execute(&format!("DELETE FROM alias_change WHERE seq < {newest}")).await;
            }
        }
        "lost" => site.lose_the_last_write().await,
        "lost, and more" => {
            site.lose_the_last_write().await;
            site.other().await.create_many("another-history", 60).await;
        }
        _ => {}
    }
}

/// Without the changes since the snapshot an alias is not found. So the tests above can fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn skipping_the_changes_since_the_snapshot_is_caught() {
    let site = Site::new(backend::mysql_1()).await;
    let (other, aka) = (site.other().await, site.serve(&[]).await);
    aka.create_many("early", 1).await;
    assert!(aka.stop().await.success());
    other.create_many("late", 1).await;
    let aka = site.serve(&[("AKA_MUTANT", "snapshot_skips_changes")]).await;
    assert!(is_filtered(&aka, "late-0").await, "the mutant was not caught");
}

/// Snapshots are written while the instance serves. The next process reads the log from the last
/// one.
async fn after_a_crash_the_last_snapshot_is_used(backend: Backend) {
    let site = Site::new(backend).await;
    let aka = site.serve(&[("AKA_FILTER_SAVE_MS", "50")]).await;
    aka.create_many("early", 60).await;
    let saves = total(&aka, "saves_total").await;
    aka.create_many("later", 60).await;
    eventually("it is saved", async || (total(&aka, "saves_total").await > saves).then_some(()))
        .await;
    let other = site.other().await;
    aka.kill();
    other.create_many("late", 60).await;
    // A process that dies while it writes leaves such a file. It is removed after an hour.
    let file = &site.files()[0];
    let left = file.with_extension("filter-0123456789abcdef");
    std::fs::write(&left, b"half").expect("it can be written");
    let aka = site.serve(&[]).await;
    let built = (total(&aka, "scans_total").await, built_from(&aka, "snapshot").await);
    assert_eq!(built, (0, 1));
    for stem in ["early", "later", "late"] {
        are_aliases(&aka, stem, 0..60).await;
    }
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(7_200);
    let made_old = std::fs::File::open(&left).and_then(|file| file.set_modified(old));
    made_old.expect("it can be made old");
    assert!(aka.stop().await.success());
    assert!(!left.exists() && file.exists());
}

/// A filter with many dead ids is replaced, and goes on answering meanwhile.
async fn a_filter_with_many_dead_ids_is_replaced(backend: Backend) {
    let site = Site::new(backend).await;
    let aka = site.serve(&[]).await;
    aka.create_many("kept", 100).await;
    // A little more than a 32nd of the capacity of the smallest filter.
    const DEAD: usize = 2_700;
    aka.create_many("dead", DEAD).await;
    assert!(!is_filtered(&aka, "nobody").await || built_from(&aka, "scan").await == 1);
    let deletes = futures::stream::iter(0..DEAD).map(async |n| {
        aka.delete(PROJECT, format!("dead-{n}"), 0).await.expect("deleted");
    });
    deletes.buffer_unordered(64).collect::<Vec<()>>().await;
    eventually("it is filled anew", async || {
        (built_from(&aka, "scan").await == 2 && total(&aka, "dead_keys").await < 200).then_some(())
    })
    .await;
    let keys = total(&aka, "keys").await;
    assert!((100..400).contains(&keys), "{keys}");
    assert!(is_filtered(&aka, "dead-0").await, "its bits are gone");
    are_aliases(&aka, "kept", 0..100).await;
}

/// With nothing configured the filter is beside the SQLite file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_default_the_snapshot_is_beside_the_sqlite_file() {
    let (database, aka) = start(backend::sqlite()).await;
    aka.create(PROJECT, "bob", "alice").await.expect("created");
    eventually("the filter is filled", async || {
        (built_from(&aka, "scan").await == 1).then_some(())
    })
    .await;
    eventually("the filter answers", async || is_filtered(&aka, "nobody").await.then_some(()))
        .await;
    assert!(aka.stop().await.success());
    let file = PathBuf::from(&database.flags()[1]);
    assert_eq!(filters_in(file.parent().expect("a folder")).len(), 1);
    let again = Aka::serve(&database, &[]).await;
    eventually("it is restored", async || {
        (built_from(&again, "snapshot").await == 1).then_some(())
    })
    .await;
    assert_eq!(total(&again, "scans_total").await, 0);
    assert_eq!(again.resolve(PROJECT, "bob").await.expect("resolved").canonical_id, "alice");
}
