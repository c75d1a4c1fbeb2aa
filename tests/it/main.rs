//! Tests through the front door: a real `aka` process, a real gRPC client, real databases.
//!
//! `make test` installs the database servers that they need. What they share with the benchmarks is
//! in the package `aka-test-support` (`tests/support`).

#[macro_use]
extern crate aka_test_support;

mod audit;
mod cluster;
mod command_line;
mod contract;
mod crashes;
mod events;
mod filter;
mod ids;
mod login;
mod races;
mod reads;
mod reports;
mod retention;
mod stale_set;
mod startup;
