//! Write transactions on one shard: what they mean.
//!
//! [`evaluate`](evaluate()) is a pure function: write steps and the rows that they saw go in, answers
//! and the rows to write come out.

mod evaluate;
mod limits;
mod rows;
mod step;

pub use evaluate::evaluate;
pub use limits::{ORPHAN_AGE, STEP_LIMIT};
pub use rows::{ChangeSet, Clock, ReadSet, Wanted};
pub use step::{Effect, StepRefusal, WriteStep};
