//! What the write transactions of a shard mean (`docs/design.md`, section 3).
//!
//! [`evaluate`](evaluate()) is a pure function. It takes write steps and the rows that their
//! transaction read. It returns an answer for each job, and the rows to write.

mod author;
mod evaluate;
mod limits;
mod overlay;
mod rows;
mod step;

pub use author::Author;
pub use evaluate::evaluate;
pub use limits::{ORPHAN_AGE, STEP_LIMIT};
pub use rows::{ChangeSet, Clock, ReadSet, Wanted};
pub use step::{Effect, StepRefusal, WriteStep};
