//! The law of aka, in code.

pub mod clock;
pub mod coherence;
pub mod domain;
pub mod mutant;
#[cfg(not(feature = "shuttle"))]
mod sync;
#[cfg(feature = "shuttle")]
pub mod sync;
pub mod write;
