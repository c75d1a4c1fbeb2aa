//! Mutants: the law broken on purpose.
//!
//! A mutant is the program made wrong in one named way. A test must catch it, or the rule that it
//! breaks is not tested. `docs/testing.md` has the same list.
//!
//! The rules know nothing of mutants. A rule that is a decision is a pure function of
//! `coherence::rules`; a build with the feature `test-hooks` uses `coherence::broken_rules` in its
//! place. A rule that is a step is marked where the step is done, with a macro of `marks`. A build
//! without the feature has only the names of the mutants.

#[cfg(feature = "test-hooks")]
mod active;
mod list;
mod marks;

#[cfg(feature = "test-hooks")]
pub use active::{active, set_thread_mutant, set_thread_time};
pub use list::{CaughtBy, Mutant};
pub(crate) use marks::{in_order, sabotage, step, value};
#[cfg(feature = "test-hooks")]
pub(crate) use {active::thread_time, marks::is_on};
