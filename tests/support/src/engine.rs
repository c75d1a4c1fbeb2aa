//! The kinds of database servers, and where they are installed.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The kind of a database server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    MySql,
    MariaDb,
}

impl Engine {
    /// All kinds.
    pub const ALL: [Engine; 2] = [Engine::MySql, Engine::MariaDb];

    pub(crate) fn program(self) -> PathBuf {
        tools().join("bin").join(match self {
            Engine::MySql => "mysqld",
            Engine::MariaDb => "mariadbd",
        })
    }

    pub(crate) fn template(self) -> PathBuf {
        tools().join(match self {
            Engine::MySql => "template-mysql",
            Engine::MariaDb => "template-mariadb",
        })
    }

    pub(crate) fn options(self) -> &'static [&'static str] {
        match self {
            // The redo log of the template is as small as it can be; this lets it grow.
            Engine::MySql => &["--skip-log-bin", "--innodb-redo-log-capacity=64M"],
            // The size of the template. With another one, the server would rebuild the log at start.
            Engine::MariaDb => &["--innodb-log-file-size=16M"],
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Engine::MySql => "MySQL",
            Engine::MariaDb => "MariaDB",
        })
    }
}

/// The folder that `scripts/install-test-databases` and `scripts/install-prometheus` install to.
pub fn tools() -> &'static Path {
    static TOOLS: OnceLock<PathBuf> = OnceLock::new();
    TOOLS.get_or_init(|| {
        let folder = std::env::var_os("AKA_TEST_TOOLS").filter(|folder| !folder.is_empty());
        // An absolute path, because the servers run in folders of their own.
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../..")
            .join(folder.unwrap_or(".test-tools".into()))
    })
}
