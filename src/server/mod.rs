//! The running service: from a checked configuration to a drained stop.
//!
//! Invariant: every wait of a connection and of the stop has a limit.

mod connection;
mod descriptors;
mod entrance;
mod frame_watch;
mod handover;
mod intake;
mod listener;
mod outgoing;
mod peers;
mod places;
mod port_owner;
mod serve;
mod service_manager;
mod sockets;
mod timed_reader;
mod watched_reader;
mod workers;

pub use descriptors::{hard_limit, reserved};
pub use entrance::EntranceFault;
pub use serve::{ServeFault, serve};
pub use sockets::{Addresses, PassedSockets, SocketFault};
