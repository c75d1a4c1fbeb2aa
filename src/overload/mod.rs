//! Overload: what a serving thread refuses when it is late, so that the rest is answered in time.
//!
//! A call that memory answers costs hardly more than its refusal, so such calls are never refused:
//! a connection has a limited number of calls, and a late thread reads less. What costs more is
//! refused while the thread is late: see [`ThreadLoad`]. How late it is, its own timer tells: see
//! [`watch_thread`].

mod arrivals;
mod control;
mod thread_load;
mod watch;

pub use arrivals::Arrivals;
pub use thread_load::{Priority, ThreadLoad};
pub use watch::watch_thread;
