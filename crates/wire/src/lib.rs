//! The wire contract of aka in Rust.
//!
//! The contract itself is `proto/aka/v1`. The server, the commands, the load generator and the
//! tests all use this crate, so each fact of the contract is written once.
//!
//! | part | holds |
//! |---|---|
//! | [`pb`] | the messages, and the clients and servers that tonic generates |
//! | [`Method`] | the list of RPCs: path, service, name, kind. A new RPC begins here |
//! | [`frame`] | gRPC's framing: messages to bytes and back |
//! | [`Quoted`], [`code_name`] | ids and status codes as people see them |

pub mod encoding;
pub mod frame;
mod method;
mod text;

pub use method::{ALIAS_ADMIN, Kind, Method, RESOLVER};
pub use text::{Quoted, code_name};

/// The messages and services of `proto/aka/v1`. Ids are bytes here, not strings (see `build.rs`).
#[allow(missing_docs, clippy::all, clippy::pedantic, reason = "it is generated")]
pub mod pb {
    tonic::include_proto!("aka.v1");

    /// The contract as an encoded `FileDescriptorSet`, for reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/aka_descriptor.bin"));
}

/// The longest message of the contract, in bytes. The limit of a `Resolve` request is lower.
pub const MAX_MESSAGE: usize = 4 << 20;

/// The most ids in one batch of `BatchResolve` or `StreamResolve`.
pub const MAX_BATCH: usize = 10_000;

/// The most aliases in one `BatchCreateAliases`.
pub const MAX_CREATES: usize = 1_000;
