//! The locks, atomics and cache that the threads of [`coherence`](crate::coherence) share.
//!
//! A program runs on the types of `real`. With the feature `shuttle` the same names stand for the
//! types of `explored`, whose scheduler decides at each use which thread goes on. The test
//! `interleavings` explores the orders of the threads' steps that way.

#[cfg(feature = "shuttle")]
mod explored;
#[cfg(not(feature = "shuttle"))]
mod real;

#[cfg(feature = "shuttle")]
pub use explored::*;
#[cfg(not(feature = "shuttle"))]
pub use real::*;
