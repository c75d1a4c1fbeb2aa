//! Tests through the front door: a real `aka` process, a real gRPC client, real databases.
//!
//! `make test` installs the database servers that they need.

#[macro_use]
mod database;
mod contract;
mod crashes;
mod harness;
mod ids;
mod invariants;
mod races;
mod reads;
mod servers;
mod stale_set;
