//! Write transactions on one shard: what they mean, and how concurrent ones share a commit.
//!
//! [`evaluate`](evaluate()) is a pure function: operations and the rows that they saw go in, answers
//! and the rows to write come out. [`group_commit`] runs it inside transactions.

mod evaluate;
mod group_commit;
mod operation;

pub use evaluate::evaluate;
pub(crate) use group_commit::run;
pub use group_commit::{Job, WriteFault, WriteQueue, Written};
pub use operation::{Effect, Operation, Refused};
