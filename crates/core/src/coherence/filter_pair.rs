//! The two filters of a shard: the one that answers, and the next one, which is being filled.
//!
//! Invariant: when [`FilterPair::add`] returns, the id is in the filter that answers. That stays so
//! when the next filter takes over. The order of the steps below keeps it.

use super::filter::Filter;
use crate::domain::IdHash;
use crate::mutant::{in_order, step};
use crate::sync::{ArcSwapOption, Guard};
use std::sync::Arc;

/// The filters of a shard, of any epoch.
pub(super) struct FilterPair {
    answering: ArcSwapOption<Filter>,
    next: ArcSwapOption<Filter>,
}

impl FilterPair {
    pub fn new() -> Self {
        Self { answering: ArcSwapOption::empty(), next: ArcSwapOption::empty() }
    }

    /// The filter that answers.
    #[inline]
    pub fn answering(&self) -> Guard<Option<Arc<Filter>>> {
        self.answering.load()
    }

    /// The filter that answers, for a caller that keeps it for longer.
    pub fn answering_full(&self) -> Option<Arc<Filter>> {
        self.answering.load_full()
    }

    /// The next filter.
    pub fn next(&self) -> Option<Arc<Filter>> {
        self.next.load_full()
    }

    /// Adds an id to both filters.
    pub fn add(&self, hash: IdHash) {
        let add = |filter: &ArcSwapOption<Filter>| {
            if let Some(filter) = filter.load().as_deref() {
                filter.insert(hash);
            }
        };
        // The next filter first. If it takes over between the two steps, the second step finds it
        // as the one that answers.
        in_order!(FilterNextLast => add(&self.next), add(&self.answering));
    }

    /// Counts a dead id in both filters. Its bits stay.
    pub fn deleted(&self) {
        for filter in [&self.next, &self.answering] {
            if let Some(filter) = filter.load().as_deref() {
                filter.deleted();
            }
        }
    }

    /// Makes this the next filter: from now on all ids that become known are added to it. A filter
    /// that was next before is given up.
    pub fn register(&self, filter: Arc<Filter>) {
        self.next.store(Some(filter));
    }

    /// The feed has applied all changes up to `cursor`: the next filter takes over, if it may
    /// answer. The history's lock is held.
    pub fn applied(&self, cursor: u64) {
        let Some(next) = self.next() else { return };
        next.applied(cursor);
        if next.is_ready() {
            // In this order it is always in one of the two places. An id that is added while it is
            // in neither would be missing from it.
            in_order!(FilterInNeither =>
                self.answering.store(Some(next)),
                self.next.store(None)
            );
        }
    }

    /// A new epoch begins, in which both are worthless. The history's lock is held.
    pub fn drop_both(&self) {
        for filter in [&self.answering, &self.next] {
            step!(FilterOutlivesEpoch => filter.store(None));
        }
    }

    /// The bytes of memory that both take.
    pub fn bytes(&self) -> u64 {
        let filters = [self.answering_full(), self.next()];
        filters.iter().flatten().map(|filter| filter.bytes()).sum()
    }
}
