//! One shard's database, in the words of the core.
//!
//! A [`Store`] opens sessions. A [`Session`] is one connection. `sql` implements both over MySQL
//! and SQLite, and nothing above this module knows of either. This module knows nothing of shards'
//! tasks, of the admin service or of RPCs.

mod directory;
mod error;
mod facts;
mod identity;
pub mod migrate;
mod pages;
mod server;
mod session;
mod sql;
mod url;

pub use directory::Directory;
pub use error::{CommitFailure, StoreError};
pub use facts::ServerFacts;
pub use identity::{Expected, SCHEMA_VERSION};
pub use pages::{AliasPage, Prune, Pruned, Stored};
pub use server::{Server, ServerRole};
pub use session::{Role, Session, Store};
pub use sql::{MySqlStore, PasswordSource, SqliteStore};
pub use url::{ShardUrl, ShardUrlFault};
