//! The wire contract over gRPC. tonic's types live in this module alone (and in the client commands).

mod admin;
pub mod batch;
mod counted;
mod deadline;
mod dispatcher;
mod message;
mod resolver;
mod routes;
pub mod status;
mod tonics;

pub(crate) use admin::timestamp;
pub use dispatcher::Dispatcher;
pub use routes::{Services, routes};

pub use aka_wire::{ALIAS_ADMIN, RESOLVER};
