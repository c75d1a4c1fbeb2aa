//! The services that tonic answers: `AliasAdmin`, health, reflection.
//!
//! Invariant: a write that was begun is carried out to its end, also if its client leaves.

mod admin;
mod health;
mod incoming;
mod services;

pub(super) use admin::AdmittedCall;
pub(crate) use admin::timestamp;
pub(super) use incoming::Incoming;
pub(super) use services::{TonicServices, answer};
