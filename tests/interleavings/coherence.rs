//! `src/coherence`, compiled over the types of [`crate::sync`].

#[path = "../../src/coherence/cache.rs"]
mod cache;
#[path = "../../src/coherence/filter.rs"]
mod filter;
#[path = "../../src/coherence/flight.rs"]
mod flight;
#[path = "../../src/coherence/freshness.rs"]
mod freshness;
#[path = "../../src/coherence/front.rs"]
mod front;
#[path = "../../src/coherence/history.rs"]
mod history;
#[path = "../../src/coherence/memory.rs"]
mod memory;
#[path = "../../src/coherence/snapshot.rs"]
mod snapshot;
#[path = "../../src/coherence/stripe.rs"]
mod stripe;

pub use cache::{Cache, Footprint};
pub use flight::{Failure, Gather};
pub use memory::{Limits, LookEnd, Lookup, Memory, Need, Replayed, SavedFilter, Sizes};
