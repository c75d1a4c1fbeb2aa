//! What the tests and benchmarks of aka share.
//!
//! - [`DbServer`]: real MySQL and MariaDB servers, and [`Database`]: migrated databases on them;
//! - [`Aka`]: a running `aka serve` with a client, and [`aka`]: commands that run to their end;
//! - [`proxy`] and [`http2`]: a bad network, and bad clients;
//! - [`invariants`]: what must always hold of the tables.
//!
//! The path of the program comes from the variable `CARGO_BIN_EXE_aka`, which `cargo test` and
//! `cargo bench` set for the tests and benchmarks of the package `aka`.

mod calls;
mod command;
mod database;
mod db_server;
mod engine;
mod expect;
pub mod http2;
mod instance;
pub mod invariants;
mod launch;
mod output_lines;
mod port;
mod process;
mod program;
pub mod proxy;
mod server_folder;
mod tables;

pub use calls::{Resolved, batch_request, bytes, create_request, resolve_request};
pub use command::{Ended, Invocation, SECRET, Serving, aka, aka_serve};
pub use database::{Backend, Database, backend, check_is_clean, slot_of};
pub use db_server::{DbServer, shared_server};
pub use engine::Engine;
pub use expect::{PATIENCE, assert_refused, eventually};
pub use instance::{Aka, PROJECT, start, start_with};
pub use port::free_port;
pub use process::{cpu_time, kill_and_wait, spawn};
pub use program::{aka_program, run_aka};
pub use tables::{ChangeRow, ForwardRow, InverseRow, Raw, Tables};
