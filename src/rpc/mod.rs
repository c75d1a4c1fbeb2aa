//! The wire contract over gRPC. tonic's types live in this module alone (and in the client commands).

mod admin;
pub mod batch;
pub mod codec;
mod counted;
mod deadline;
mod message;
mod port;
mod resolver;
mod routes;
pub mod status;
mod tonics;

pub(crate) use admin::timestamp;
pub use port::Port;
pub use routes::{Services, routes};

/// The types and services of `proto/aka/v1`. Ids are bytes here: see `build.rs`.
#[allow(missing_docs, clippy::all, clippy::pedantic, reason = "it is generated")]
pub mod pb {
    tonic::include_proto!("aka.v1");

    /// The descriptors of the contract, for reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/aka_descriptor.bin"));
}

/// The names of the services, as health and metrics call them.
pub const RESOLVER: &str = "aka.v1.Resolver";
pub const ALIAS_ADMIN: &str = "aka.v1.AliasAdmin";
