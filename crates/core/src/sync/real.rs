//! The types that a program runs on.

pub use arc_swap::{ArcSwapOption, Guard};
pub use atomic_waker::AtomicWaker;
pub use moka::sync::Cache as MokaCache;
pub use parking_lot::{Mutex, MutexGuard};
pub use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
