//! Mutants: the program made wrong on purpose, each in one named way.
//!
//! A test must catch each mutant. Otherwise the rule that the mutant breaks is not tested. `list`
//! has all of them, and `docs/testing.md` has the same table.
//!
//! Mutants break a rule in one of two places:
//!
//! - A rule that is a decision is a pure function of `coherence::rules`. A build with the feature
//!   `test-hooks` calls `coherence::broken_rules` in its place.
//! - A rule that is a step, or an order of steps, is marked where the step is done, with a macro of
//!   `marks`.
//!
//! A build without the feature has only the list.

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
