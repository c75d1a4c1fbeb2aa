//! The harness of aka's tests and benchmarks: real databases, a real `aka`, a bad network.
//!
//! A test of the front door begins like this:
//!
//! ```ignore
//! on_backends!(a_created_alias_resolves: sqlite mysql_3);
//!
//! async fn a_created_alias_resolves(backend: Backend) {
//!     let (database, aka) = start(backend).await;
//!     aka.create(PROJECT, "bob", "alice").await.expect("created");
//!     assert_eq!(aka.resolve(PROJECT, "bob").await.expect("resolved").canonical_id, "alice");
//!     invariants::assert_hold(&database, false).await;
//! }
//! ```
//!
//! | part | is |
//! |---|---|
//! | [`Backend`], [`on_backends!`] | the kinds of databases, and a test for each |
//! | [`Database`], [`DbServer`] | migrated databases; the MySQL and MariaDB servers that they are on |
//! | [`MySqlGroup`], [`ReplicaPair`] | servers that fail over |
//! | [`Aka`] | a running `aka serve`, with its calls in short form |
//! | [`aka()`], [`aka_serve`] | commands with an environment and a stdin of their own |
//! | [`eventually`], [`assert_refused`] | a bounded wait for a condition; an error of the contract |
//! | [`proxy`], [`http2`] | a bad network, and frames that no client library sends |
//! | [`invariants`], [`Tables`] | the invariants of the tables, and the tables as rows |
//! | [`percentile`], [`median`], [`cpu_time`], [`fill_shards`] | figures and data of benchmarks |
//!
//! The path of the program comes from the variable `CARGO_BIN_EXE_aka`, which `cargo test` and
//! `cargo bench` set for the tests and benchmarks of the package `aka`.

mod calls;
mod command;
mod database;
mod db_server;
mod engine;
mod expect;
mod figures;
mod fill;
mod group;
pub mod http2;
mod instance;
pub mod invariants;
mod launch;
mod network;
mod output_lines;
mod pair;
mod port;
mod process;
mod program;
pub mod proxy;
mod server_folder;
mod tables;

pub use calls::{Resolved, batch_request, bytes, create_request, resolve_request};
pub use command::{Ended, Invocation, SECRET, Serving, aka, aka_serve};
pub use database::{Backend, Database, backend, check_is_clean, hex_literal, slot_of};
pub use db_server::{DbServer, shared_server};
pub use engine::{Engine, tools};
pub use expect::{PATIENCE, assert_refused, eventually, was_not_sent};
pub use figures::{median, percentile};
pub use fill::fill_shards;
pub use group::MySqlGroup;
pub use instance::{Aka, PROJECT, start, start_with};
pub use pair::ReplicaPair;
pub use port::free_port;
pub use process::{cpu_time, kill_and_wait, spawn};
pub use program::{aka_program, run_aka};
pub use tables::{ChangeRow, ForwardRow, InverseRow, Raw, Tables};
