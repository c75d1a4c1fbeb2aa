//! The tables in portable SQL, for MySQL (8.4+, 9.x), MariaDB (10.11+) and SQLite.
//!
//! Each statement stands once: in `reads`, `writes`, `scans`, `prune` or `meta`. `mysql` and
//! `sqlite` connect, and say where the dialects differ.

mod backend;
mod claim;
mod examine;
mod meta;
mod mysql;
mod nodelay;
mod prune;
mod query;
mod reads;
mod row;
mod scans;
mod script;
mod session;
mod sqlite;
mod tables;
mod text;
mod writes;

pub(super) use backend::{Backend, classify, close};
pub(super) use meta::{Version, give_identity, raise_version, read_identity};
pub use mysql::{MySqlStore, PasswordSource};
pub(super) use query::Query;
pub(super) use row::SqlRow;
pub use sqlite::SqliteStore;
pub(super) use tables::{MIGRATIONS, check_tables, not_akas};
