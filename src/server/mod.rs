//! The running service: from a checked configuration to a drained stop.

mod connection;
mod listener;
mod outgoing;
mod serve;
mod workers;

pub use serve::{Addresses, ServeFault, serve};
