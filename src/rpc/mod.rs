//! The gRPC front: every call enters through the [`Dispatcher`], once.
//!
//! Lookups are answered over h2 itself ([`lookups`]), everything else over tonic
//! (`tonic_services`). The two know nothing of each other. Invariants: every call is counted; every
//! error has its `ErrorInfo`; the text of a database error never reaches a client.

mod access;
mod activity;
mod counters;
mod dispatcher;
mod limits;
pub mod lookups;
mod memory;
mod response;
pub mod status;
mod tonic_services;

pub use access::{Access, ReflectionAccess};
pub use activity::Activity;
pub use dispatcher::{ConnectionPeer, Dispatcher, Doors};
pub use memory::{Backlog, ConnectionMemory, HeldWindow, RequestMemory};
pub(crate) use tonic_services::timestamp;
