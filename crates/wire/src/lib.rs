//! The wire contract of aka in Rust: its messages, its methods, and gRPC's framing.
//!
//! The server, the commands, the load generator and the tests all use this crate, so each fact of
//! the contract is written once.

pub mod encoding;
pub mod frame;
mod method;
mod text;

pub use method::{ALIAS_ADMIN, Kind, Method, RESOLVER};
pub use text::{Quoted, code_name};

/// The messages and services of `proto/aka/v1`. Ids are bytes here: see `build.rs`.
#[allow(missing_docs, clippy::all, clippy::pedantic, reason = "it is generated")]
pub mod pb {
    tonic::include_proto!("aka.v1");

    /// The descriptors of the contract, for reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/aka_descriptor.bin"));
}

/// The most bytes that a message may have. A `Resolve` request may have less.
pub const MAX_MESSAGE: usize = 4 << 20;
