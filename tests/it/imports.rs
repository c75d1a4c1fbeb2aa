//! `aka import` reads what people have: what each row means, in which order rows take effect, and
//! what becomes of those that are refused.

use aka_test_support::{Aka, Database, Ended, aka};
use serde_json::Value;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

mod flatten;
mod formats;
mod order;
mod presets;
mod refused;
mod values;

/// A folder for the files of a test.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder can be made"))
    }

    /// Where refused rows go.
    fn refused(&self) -> PathBuf {
        self.0.path().join("refused")
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).expect("it can be written");
        path
    }

    /// Runs an import with these rows on stdin.
    async fn import(&self, server: &Aka, args: &[&str], rows: impl Into<Vec<u8>>) -> Ended {
        let import = aka(["import", "--server", &server.grpc.to_string(), "--refused"]);
        import.args([self.refused()]).args(args).input(rows).run().await
    }

    /// Runs an import of a file.
    async fn import_file(&self, server: &Aka, args: &[&str], file: &Path) -> Ended {
        let import = aka(["import", "--server", &server.grpc.to_string(), "--refused"]);
        import.args([self.refused()]).args(args).args([file]).run().await
    }

    /// The refused rows.
    fn filed(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.refused()).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// The number and the reason of each refused row.
    fn reasons(&self) -> Vec<(u64, String)> {
        let seen = |row: &Value| {
            let reason = row["error"]["reason"].as_str().expect("a reason");
            (row["record"].as_u64().expect("a number"), reason.to_owned())
        };
        self.filed().iter().map(seen).collect()
    }
}

/// The aliases of a database, sorted: project, alias and canonical id.
async fn aliases(database: &Database) -> Vec<[String; 3]> {
    let exported = aka(["export"]).args(database.flags()).run().await;
    exported.succeeded();
    let text = |row: &Value, field: &str| row[field].as_str().expect("a text").to_owned();
    let row = |row: Value| ["project_id", "alias_id", "canonical_id"].map(|name| text(&row, name));
    let mut rows: Vec<_> = exported.json().into_iter().map(row).collect();
    rows.sort_unstable();
    rows
}

/// Checks which aliases there are. They must be in order.
#[track_caller]
fn assert_aliases(found: &[[String; 3]], right: &[[&str; 3]]) {
    assert_eq!(found, right.iter().map(|row| row.map(str::to_owned)).collect::<Vec<_>>());
}

fn owned(reasons: &[(u64, &str)]) -> Vec<(u64, String)> {
    reasons.iter().map(|&(number, reason)| (number, reason.to_owned())).collect()
}
