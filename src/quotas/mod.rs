//! Quotas: how many ids a project may look up and write in a second, on each instance.
//!
//! - A `bucket` holds what a project may still ask for.
//! - The `file` of limits (`--limits-file`) says how much that is. It is read again when it changes.
//! - `quota` is what lookups and writes ask.
//! - The `table` has the buckets of all projects that ask. Its size is bounded.

mod bucket;
mod file;
mod limits;
mod quota;
mod table;

pub use file::{LimitsFault, LimitsFile};
pub use quota::Quotas;
pub use table::QuotaExceeded;

/// What a quota is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaKind {
    Lookups,
    Writes,
}
