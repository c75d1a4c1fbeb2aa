//! Tests through the front door: a real `aka` process, a real gRPC client, real databases.
//!
//! `make test` installs the database servers that they need.

#[macro_use]
mod database;
mod audit;
mod cluster;
mod command;
mod command_line;
mod contract;
mod crashes;
mod events;
mod filter;
mod harness;
mod http2;
mod ids;
mod invariants;
mod login;
mod proxy;
mod races;
mod reads;
mod retention;
mod servers;
mod stale_set;
mod startup;
