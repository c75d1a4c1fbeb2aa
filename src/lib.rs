//! **aka** ("also known as") answers, for every event that an analytics pipeline ingests: is this
//! `distinct_id` an alias, and if so, of whom?
//!
//! This crate is the service and its command line. What an instance may remember and answer, and
//! what a write does, is a crate of its own: [`aka_core`]. The wire contract is [`aka_wire`].
//!
//! # How to read the crate
//!
//! Start with [docs/design.md](../../../docs/design.md): it has the promises (P1 to P14) and the
//! rules that comments cite. [docs/glossary.md](../../../docs/glossary.md) defines the words.
//! [ARCHITECTURE.md](../../../ARCHITECTURE.md) is the map: which folder holds what, and which
//! invariant it keeps. Then follow a read and a write through the files, as below.
//!
//! From the outside to the databases:
//!
//! | module | holds |
//! |---|---|
//! | [`cli`] | the commands, one file each; `aka serve` is one of them |
//! | [`config`] | the settings: flags over environment over file |
//! | [`server`] | listens, serves connections, drains |
//! | [`auth`] | principals, tokens, and the gate that every call passes |
//! | [`rpc`] | routes each RPC; messages and statuses |
//! | [`overload`] | what a thread that is late refuses |
//! | [`quotas`] | how much each project may ask for |
//! | [`resolve`] | the path of a read |
//! | [`admin`] | what each write means |
//! | [`shard`] | the tasks and connections of one shard |
//! | [`store`] | what is asked of a database; MySQL and SQLite |
//! | [`check`] | reads every row and reports what breaks an invariant |
//! | [`metrics`], [`ops`] | metrics, health, status, logs |
//! | [`page`] | the page on the operations port, and its lookups |
//! | [`tls`] | certificates and handshakes, of both ports and of the commands |
//!
//! # The path of a read
//!
//! 1. `src/server/connection.rs` takes the RPC from its connection.
//! 2. `src/rpc/dispatcher.rs` counts it, takes its deadline, and routes it to the lookups in
//!    `src/rpc`.
//! 3. `src/resolve/read.rs` validates each id. The slot of the id names its shard.
//! 4. `aka_core::coherence` asks the filter and the cache. They answer only under rules 6, 7 and 8.
//!    A miss joins the flight of its key (rule 4).
//! 5. `src/shard/lane.rs` asks the database for all keys that wait, in one query.
//! 6. `aka_core::coherence` lets the load into the cache under rule 3, and wakes the readers.
//!
//! # The path of a write
//!
//! 1. `src/rpc/tonic_services/admin.rs` takes the decoded message, and starts the write as a task.
//! 2. `src/admin/create.rs` (or `update.rs`, `delete.rs`) turns it into write steps: one job for
//!    each shard, first on the shard of the canonical id (`docs/design.md`, section 3).
//! 3. `src/shard/writer.rs` takes all jobs that wait, and writes them in one transaction.
//! 4. `aka_core::write` decides what each job does, from the rows that the transaction has read.
//! 5. `aka_core::coherence` notes the change before the client is answered (rule 5).
//! 6. `src/shard/feed.rs` of every instance reads the change in its next poll of the change log.

// These macros panic if nobody reads: `cli/print.rs` writes to stdout and stderr.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod admin;
mod audit;
pub mod auth;
pub mod check;
pub mod cli;
pub mod config;
#[cfg(test)]
mod fuzz;
mod hooks;
pub mod metrics;
pub mod ops;
pub mod overload;
pub mod page;
pub mod quotas;
mod reload;
pub mod resolve;
pub mod rpc;
pub mod server;
pub mod shard;
pub mod store;
pub mod tls;
