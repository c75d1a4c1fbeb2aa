//! Databases for `aka` to serve from.

use crate::db_server::{DbServer, shared_server};
use crate::engine::Engine;
use crate::program::run_aka;
use crate::tables::{Raw, Tables};
use aka_core::domain::{Project, Slot, SlotSet};
use sqlx::Connection;
use sqlx::mysql::MySqlConnection;
use sqlx::sqlite::SqliteConnection;
use std::path::PathBuf;
use tempfile::TempDir;

/// The kind of database that `aka` stores its aliases in.
#[derive(Clone, Copy, Debug)]
pub enum Backend {
    /// The embedded store.
    Sqlite,
    /// This number of shards, each a database of its own on the server that all tests share.
    Shards(Engine, usize),
}

/// The backends, by the names that [`on_backends!`](crate::on_backends) gives to tests.
pub mod backend {
    use super::{Backend, Engine};

    pub fn sqlite() -> Backend {
        Backend::Sqlite
    }
    pub fn mysql_1() -> Backend {
        Backend::Shards(Engine::MySql, 1)
    }
    pub fn mysql_3() -> Backend {
        Backend::Shards(Engine::MySql, 3)
    }
    pub fn mariadb_1() -> Backend {
        Backend::Shards(Engine::MariaDb, 1)
    }
    pub fn mariadb_3() -> Backend {
        Backend::Shards(Engine::MariaDb, 3)
    }
}

/// Makes tests of an `async fn(Backend)`: one for each backend, or one for each backend that is named.
#[macro_export]
macro_rules! on_backends {
    ($test:ident) => {
        $crate::on_backends!($test: sqlite mysql_1 mysql_3 mariadb_1 mariadb_3);
    };
    ($test:ident: $($backend:ident)*) => {
        mod $test {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $backend() {
                    super::$test($crate::backend::$backend()).await;
                }
            )*
        }
    };
}

/// Fresh, migrated databases. They outlive the `aka` processes that serve from them.
pub struct Database(Place);

enum Place {
    File { path: PathBuf, _folder: TempDir },
    Shards(Vec<String>),
}

impl Database {
    /// Makes databases of this kind.
    pub async fn create(backend: Backend) -> Self {
        let Backend::Shards(engine, count) = backend else {
            let folder = tempfile::tempdir().expect("a temporary folder can be made");
            return Self(Place::File { path: folder.path().join("aka.db"), _folder: folder });
        };
        let server = tokio::task::spawn_blocking(move || shared_server(engine)).await;
        let server = server.expect("the shared server starts");
        Self::on(&vec![server; count]).await
    }

    /// Makes one shard on each of these servers. A server that is named twice has two shards.
    pub async fn on(servers: &[&DbServer]) -> Self {
        let mut urls = Vec::new();
        for server in servers {
            urls.push(server.url(&server.create_database().await));
        }
        let database = Self(Place::Shards(urls));
        let output = run_aka("migrate", &database.flags()).await;
        assert!(output.status.success(), "aka migrate: {output:?}");
        database
    }

    /// Databases that are migrated already, by their URLs.
    pub fn at(urls: Vec<String>) -> Self {
        Self(Place::Shards(urls))
    }

    /// The flags that name these databases on the command line.
    pub fn flags(&self) -> Vec<String> {
        match &self.0 {
            Place::File { path, .. } => vec!["--sqlite".to_owned(), path.display().to_string()],
            Place::Shards(urls) => {
                urls.iter().flat_map(|url| ["--shard".to_owned(), url.clone()]).collect()
            }
        }
    }

    /// The names of the shards' databases on their servers.
    pub fn names(&self) -> Vec<String> {
        let Place::Shards(urls) = &self.0 else { panic!("a file has no such name") };
        let name = |url: &String| url.rsplit('/').next().expect("a path").to_owned();
        urls.iter().map(name).collect()
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        match &self.0 {
            Place::File { .. } => 1,
            Place::Shards(urls) => urls.len(),
        }
    }

    /// The index of the shard that an id belongs on.
    pub fn shard_of(&self, project: u64, id: impl AsRef<[u8]>) -> usize {
        let slot = slot_of(project, id.as_ref());
        let slot = Slot::new(u16::try_from(slot).expect("a slot")).expect("a slot");
        let count = u16::try_from(self.shards()).expect("few shards");
        let shard = (0..count).find(|&shard| SlotSet::even_share(shard, count).contains(slot));
        usize::from(shard.expect("every slot is dealt out"))
    }

    /// `count` ids, `stem-0`, `stem-1`, …, that all belong on this shard.
    pub fn ids_on(&self, shard: usize, project: u64, stem: &str, count: usize) -> Vec<String> {
        let ids = (0..).map(|number| format!("{stem}-{number}"));
        ids.filter(|id| self.shard_of(project, id) == shard).take(count).collect()
    }

    /// A connection to a shard, past `aka`.
    pub async fn connect(&self, shard: usize) -> Raw {
        match &self.0 {
            Place::File { path, .. } => {
                let url = format!("sqlite://{}", path.display());
                Raw::Sqlite(SqliteConnection::connect(&url).await.expect("the file can be opened"))
            }
            Place::Shards(urls) => Raw::MySql(
                MySqlConnection::connect(&urls[shard]).await.expect("the shard can be reached"),
            ),
        }
    }

    /// All rows, shard by shard.
    pub async fn tables(&self) -> Vec<Tables> {
        let mut shards = Vec::new();
        for shard in 0..self.shards() {
            shards.push(self.connect(shard).await.tables().await);
        }
        shards
    }

    /// Inserts an orphan that is `age_s` seconds old. A write that died between its steps leaves one.
    pub async fn plant_orphan(&self, project: u64, canonical: &str, alias: &str, age_s: u64) {
        let slot = slot_of(project, canonical.as_bytes());
        let (canonical_id, alias_id) = (hex_literal(canonical), hex_literal(alias));
        let stamp = rand::random::<u32>();
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_micros();
        let created = now - u128::from(age_s) * 1_000_000;
        let sql = format!(
            "INSERT INTO canonical \
             (slot, project_id, canonical_id, alias_id, stamp, create_time_us) \
             VALUES ({slot}, {project}, {canonical_id}, {alias_id}, {stamp}, {created})"
        );
        self.connect(self.shard_of(project, canonical)).await.execute(&sql).await;
    }
}

/// The slot of an id, as the tables hold it.
pub fn slot_of(project: u64, id: &[u8]) -> i64 {
    i64::from(Slot::of(Project::new(project).expect("a valid project"), id).get())
}

/// An id as a literal of SQL, `x'…'`. MySQL, MariaDB and SQLite all read it as bytes.
pub fn hex_literal(id: &str) -> String {
    let digits: String = id.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("x'{digits}'")
}

/// Runs `aka check`, and fails if it finds a problem.
pub async fn check_is_clean(database: &Database) {
    let output = run_aka("check", &database.flags()).await;
    let said = String::from_utf8_lossy(&output.stdout);
    let clean = output.status.success() && said.contains("no problems");
    assert!(clean, "aka check ({}): {said}{}", output.status, {
        String::from_utf8_lossy(&output.stderr)
    });
}
