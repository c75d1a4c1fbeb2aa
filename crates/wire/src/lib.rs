//! The wire contract of aka in Rust.

pub mod frame;
mod method;
mod text;

pub use method::{ALIAS_ADMIN, HEALTH, Kind, Method, RESOLVER};
pub use text::{Quoted, code_name};

/// The messages and services of `proto/aka/v1`. Ids are bytes here: see `build.rs`.
#[allow(missing_docs, clippy::all, clippy::pedantic, reason = "it is generated")]
pub mod pb {
    tonic::include_proto!("aka.v1");

    /// The descriptors of the contract, for reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/aka_descriptor.bin"));
}

/// The longest message, in bytes. `Resolve` allows less.
pub const MAX_MESSAGE: usize = 4 << 20;
