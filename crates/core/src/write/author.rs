//! Who makes a write.

use std::sync::Arc;

/// Who makes a write, for the change log. Clones are cheap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// The same in all changes of one call; below 2^63.
    pub operation: u64,
    /// `None`: it is not known.
    pub principal: Option<Arc<str>>,
    /// Why, in the caller's own words.
    pub reason: Option<Arc<str>>,
}
