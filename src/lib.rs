pub mod admin;
pub mod check;
pub mod cli;
pub mod clock;
pub mod coherence;
pub mod config;
pub mod domain;
#[cfg(not(feature = "test-hooks"))]
mod hooks;
#[cfg(feature = "test-hooks")]
pub mod hooks;
pub mod ops;
mod queue;
pub mod resolve;
pub mod rpc;
pub mod server;
pub mod shard;
pub mod store;
mod sync;
pub mod write;
