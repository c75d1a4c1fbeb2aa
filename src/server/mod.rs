//! The running service: from a checked configuration to a drained stop.

mod listener;
mod serve;

pub use serve::{Addresses, ServeFault, serve};
