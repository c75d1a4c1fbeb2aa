//! Who may do what: principals, tokens, and the gate that every call passes.
//!
//! `--auth-file` names the principals ([`AuthFile`]). The dispatcher asks the [`Gate`] at the head of
//! each call, and the handlers ask it with each message. Which role an RPC needs is not written here,
//! but in `rpc/access.rs`.
//!
//! Invariants: a token is never logged, and only its connection remembers it; nothing is looked at before the
//! gate has been asked; a file that cannot be used changes nothing; without a file everybody may do
//! everything.

mod fault;
mod file;
mod gate;
mod principal;
mod principals;
mod stanzas;
mod token;

pub use fault::AuthFault;
pub use file::{AuthFile, read_principals};
pub use gate::{ConnectionGate, Denial, Denied, Gate, Pass};
pub use principal::{Principal, PrincipalRole, ProjectSet};
pub use principals::Principals;
pub use token::{BearerToken, TokenHash};
