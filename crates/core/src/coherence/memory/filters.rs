//! The filter's task asks whether a filter is needed, and fills one with a scan (`docs/design.md`,
//! section 4).
//!
//! Invariant: the filter is registered before the first page of its scan is read, and answers only
//! once the feed has applied the highest seq that a page was read at.

use super::Memory;
use crate::coherence::filter::Filter;
use crate::coherence::law;
use crate::domain::{Key, Position};
use crate::mutant::{sabotage, step};
use std::sync::Arc;

/// A scan that fills a filter.
pub struct FilterScan {
    filter: Arc<Filter>,
    /// The cursor when the scan began.
    from: u64,
    highest: u64,
}

impl Memory {
    /// Begins to fill a filter for about `keys` aliases; `None` while no cursor is set. Another
    /// scan that is under way is given up.
    pub fn begin_filter(&self, keys: u64) -> Option<FilterScan> {
        let history = self.history.lock();
        let from = history.cursor()?.seq;
        // `keys` is an estimate. The filter that answers may know of more.
        let known = self.filter().map_or(0, |filter| filter.alive());
        let keys = keys.max(known).max(self.least_filter_keys);
        let filter = Arc::new(Filter::new(keys, self.epoch()));
        self.register_filter(&filter);
        Some(FilterScan { filter, from, highest: 0 })
    }

    /// From now on all ids that become known are added to this filter.
    pub(super) fn register_filter(&self, filter: &Arc<Filter>) {
        step!(FilterRegisteredLate => self.filters.register(filter.clone()));
    }

    /// Adds a page of the table of aliases, which was read as of `at` after the scan began. Returns
    /// false if the page may not be added. The scan is worthless then.
    pub fn add_filter_page<'a>(
        &self,
        scan: &mut FilterScan,
        at: Position,
        keys: impl IntoIterator<Item = &'a Key>,
    ) -> bool {
        let standing = self.observe(at);
        let same_epoch = scan.filter.epoch == self.epoch();
        if !law::may_add_page(at.seq, scan.from, standing, same_epoch) {
            return false;
        }
        scan.highest = scan.highest.max(at.seq);
        for key in keys {
            scan.filter.insert(key.id_hash());
        }
        true
    }

    /// The scan is over. The filter answers as soon as it may.
    pub fn end_filter(&self, scan: FilterScan) {
        let FilterScan { filter, highest, .. } = scan;
        self.end_filling(filter, highest);
    }

    /// The last page is in. `highest`: the highest seq that a page was read at.
    pub(super) fn end_filling(&self, filter: Arc<Filter>, highest: u64) {
        let history = self.history.lock();
        if filter.epoch != self.epoch() {
            return;
        }
        sabotage!(FilterRegisteredLate => self.filters.register(filter.clone()));
        filter.filled(highest);
        if let Some(cursor) = history.cursor() {
            self.filters.applied(cursor.seq);
        }
    }

    /// Whether a filter should be filled now. It should if the filter that answers is worn or
    /// missing, unless another one [waits](Self::filter_waits) to take its place.
    pub fn wants_filter(&self) -> bool {
        !self.filter_waits() && self.filter().is_none_or(|filter| filter.is_worn())
    }

    /// Whether a filter is filled and only waits for the feed before it answers.
    pub fn filter_waits(&self) -> bool {
        let next = self.filters.next();
        next.is_some_and(|next| next.is_filled() && next.epoch == self.epoch())
    }

    /// The filter that answers, if there is one.
    pub fn filter(&self) -> Option<Arc<Filter>> {
        self.filters.answering_full().filter(|filter| filter.epoch == self.epoch())
    }

    /// The bytes of memory that filters take: the one that answers and the one that is filled.
    pub fn filter_bytes(&self) -> u64 {
        self.filters.bytes()
    }
}
