//! The running service: from a checked configuration to a drained stop.
//!
//! Invariant: every wait of a connection and of the stop has a limit.

mod connection;
mod descriptors;
mod entrance;
mod handover;
mod listener;
mod outgoing;
mod places;
mod port_owner;
mod serve;
mod service_manager;
mod sockets;
mod timed_reader;
mod workers;

pub use descriptors::{hard_limit, reserved};
pub use entrance::EntranceFault;
pub use serve::{ServeFault, serve};
pub use sockets::{Addresses, PassedSockets, SocketFault};
