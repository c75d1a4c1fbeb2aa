//! What the threads of [`coherence`](crate::coherence) share, by the names that it uses.
//!
//! Nothing here but names. With the feature `shuttle` the same names stand for types of a scheduler that
//! decides which thread goes on: the test `interleavings` explores the orders of their steps so.

#[cfg(feature = "shuttle")]
mod explored;
#[cfg(not(feature = "shuttle"))]
mod real;

#[cfg(feature = "shuttle")]
pub use explored::*;
#[cfg(not(feature = "shuttle"))]
pub use real::*;
