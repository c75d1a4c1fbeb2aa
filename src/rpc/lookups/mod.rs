//! The service `Resolver`, over h2 itself.
//!
//! tonic would read and write a message through several layers and wake a task for it. A lookup
//! that memory can answer needs none of that: its message is read where it was received, and its
//! answer is one buffer. Invariant: such a lookup is answered by the task of its connection.

pub mod batch;
mod messages;
mod stream;
mod unary;

pub(super) use messages::Messages;
pub(super) use stream::{StreamPriority, answer_stream, resolve_stream};
pub(super) use unary::{answer_at_once, resolve, resolve_batch};
