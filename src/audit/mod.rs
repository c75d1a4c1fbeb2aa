//! The audit trail: a line of JSON for each call of `AliasAdmin`, refused ones and dry runs too, and
//! for each lookup of the page.
//!
//! The dispatcher begins a line at the head of a call ([`AuditTrail::begin`]); the handler adds what
//! the message asks for; what answers the call adds how it ended. The line is made when the
//! last [`AuditedCall`] is dropped, so a call whose client leaves has one too.
//!
//! Invariants: no call waits for the disk; what waits is bounded; no token is in a line.

mod entry;
mod file;
mod trail;

pub use entry::{AliasId, AuditedItem, AuditedOutcome, AuditedRequest, CanonicalId};
pub use file::AuditFile;
pub use trail::{AuditSink, AuditTrail, AuditedCall};
