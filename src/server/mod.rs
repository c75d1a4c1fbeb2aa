//! The running service: from a checked configuration to a drained stop.
//!
//! Invariant: every wait of a connection and of the stop has a limit.

mod connection;
mod descriptors;
mod listener;
mod outgoing;
mod serve;
mod workers;

pub use serve::{Addresses, ServeFault, serve};
