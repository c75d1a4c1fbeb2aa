//! What the threads of [`coherence`](crate::coherence) share, by the names that it uses. Nothing but
//! names: `tests/interleavings` compiles `coherence` a second time, over a module of these names that
//! decides which thread goes on.

pub use arc_swap::{ArcSwapOption, Guard};
pub use moka;
pub use parking_lot::{Mutex, MutexGuard};
pub use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
pub use tokio::sync::Notify;
