//! Tests through the front door: a real `aka` process, a real gRPC client, real databases.
//!
//! `make test` installs the database servers that they need. The package `aka-test-support`
//! (`tests/support`) has the parts that they share with the benchmarks.

#[macro_use]
extern crate aka_test_support;

mod audit;
mod auth;
mod client;
mod cluster;
mod command_line;
mod contract;
mod crashes;
mod enemies;
mod events;
mod filter;
mod groups;
mod ids;
mod imports;
mod late;
mod login;
mod monitoring;
mod page;
mod quotas;
mod races;
mod reads;
mod reports;
mod retention;
mod rewrite;
mod stale_set;
mod startup;
mod statements;
mod tls;
