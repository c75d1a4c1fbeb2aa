//! The tables in portable SQL, for MySQL (8.4+, 9.x), MariaDB (10.11+) and SQLite.
//!
//! The statements stand once, in `reads`, `writes` and `scans`; `mysql` and `sqlite` say how to
//! connect and where the dialects differ.

mod backend;
mod meta;
mod mysql;
mod nodelay;
mod prune;
mod reads;
mod scans;
mod session;
mod sqlite;
mod text;
mod writes;

/// Rows a statement, at the most: MySQL and SQLite both have bounds on the number of arguments.
const ROWS: usize = 512;

const ALIAS_KEY: [&str; 3] = ["slot", "project_id", "alias_id"];
const CANONICAL_KEY: [&str; 3] = ["slot", "project_id", "canonical_id"];

pub(super) use backend::{Backend, Query, classify};
pub(super) use meta::{give_identity, read_identity};
pub use mysql::MySqlStore;
pub use sqlite::SqliteStore;
