//! The filter of a memory: filled, kept, asked and dropped (see [`Filter`]).

use super::{Memory, Standing};
use crate::coherence::filter::Filter;
use crate::coherence::law;
use crate::domain::{IdHash, Key, Position};
use crate::mutant::{in_order, sabotage, step};
use crate::sync::ArcSwapOption;
use std::sync::Arc;

/// A scan that fills a filter.
pub struct FilterScan {
    filter: Arc<Filter>,
    /// The cursor when it was begun: an older page may lack what the feed will not bring again.
    from: u64,
    highest: u64,
}

impl Memory {
    /// Whether the filter says that the id is surely nobody's alias.
    pub(super) fn is_surely_none(&self, hash: IdHash) -> bool {
        self.rules_out(&self.filter.load(), hash)
    }

    /// Whether this filter is of this epoch, and says so. It says so of the state at the cursor at the
    /// moment that it was taken, or of a later one: whatever came to be known since is in it, or in the
    /// one that has come after it.
    pub(super) fn rules_out(&self, filter: &Option<Arc<Filter>>, hash: IdHash) -> bool {
        filter.as_deref().is_some_and(|filter| {
            let may_hold = filter.may_hold(hash);
            // The epoch last: it is still the one in which the filter was asked.
            law::rules_out(filter.is_ready(), may_hold, filter.epoch == self.epoch())
        })
    }

    /// The id of this hash is, or was, an alias. Called before anybody else can know it from here.
    pub(super) fn add_to_filters(&self, hash: IdHash) {
        // The next one first: if it has just become the filter that answers, it is found there.
        let add = |filter: &ArcSwapOption<Filter>| {
            if let Some(filter) = filter.load().as_deref() {
                filter.insert(hash);
            }
        };
        in_order!(FilterNextLast => add(&self.next_filter), add(&self.filter));
    }

    /// An alias was deleted. It stays in the filters: nobody can take a bit away.
    pub(super) fn deleted_from_filters(&self) {
        for filter in [&self.next_filter, &self.filter] {
            if let Some(filter) = filter.load().as_deref() {
                filter.deleted();
            }
        }
    }

    /// Begins a filter for about `keys` aliases; `None` while no cursor is set. All that comes to be
    /// known from now on is added to it. Another scan that is under way is given up.
    pub fn begin_filter(&self, keys: u64) -> Option<FilterScan> {
        let history = self.history.lock();
        let from = history.cursor()?.seq;
        // The last one knows what a guess may have missed.
        let known = self.filter().map_or(0, |filter| filter.alive());
        let keys = keys.max(known).max(self.least_filter_keys);
        let filter = Arc::new(Filter::new(keys, self.epoch()));
        self.register_filter(&filter);
        Some(FilterScan { filter, from, highest: 0 })
    }

    /// From now on all that comes to be known is added to this filter. Before its first page is read.
    pub(super) fn register_filter(&self, filter: &Arc<Filter>) {
        step!(FilterRegisteredLate => self.next_filter.store(Some(filter.clone())));
    }

    /// A page of the table of aliases, read as of `at` after the scan was begun. False: it is worth
    /// nothing (the epoch is over, it is older than the scan, or so much has changed since that it
    /// cannot be checked), and so is the scan.
    pub fn add_filter_page<'a>(
        &self,
        scan: &mut FilterScan,
        at: Position,
        keys: impl IntoIterator<Item = &'a Key>,
    ) -> bool {
        // Rule 7: a page, too, may come from an old primary.
        let standing = self.observe(at);
        // Nor may it be of a replica that lags behind the feed: what was applied before the scan began,
        // and is not in the page, would never be added.
        let old = at.seq < scan.from || standing == Standing::Forgotten;
        if old || scan.filter.epoch != self.epoch() {
            return false;
        }
        scan.highest = scan.highest.max(at.seq);
        for key in keys {
            scan.filter.insert(key.id_hash());
        }
        true
    }

    /// The scan is over. The filter answers once the feed has applied the highest seq that a page was
    /// read at: a change after the page that should have had it is in the filter by then.
    pub fn end_filter(&self, scan: FilterScan) {
        let FilterScan { filter, highest, .. } = scan;
        self.end_filling(filter, highest);
    }

    /// All that the feed will not bring is in the filter, as far as it was read at `highest` at the
    /// latest.
    pub(super) fn end_filling(&self, filter: Arc<Filter>, highest: u64) {
        let history = self.history.lock();
        if filter.epoch != self.epoch() {
            return;
        }
        sabotage!(FilterRegisteredLate => self.next_filter.store(Some(filter.clone())));
        filter.scanned(highest);
        if let Some(cursor) = history.cursor() {
            self.let_filters_answer(cursor.seq);
        }
    }

    /// All changes up to `seq` are applied. The history's lock is held.
    pub(super) fn let_filters_answer(&self, seq: u64) {
        let next = self.next_filter.load_full();
        let Some(next) = next else { return };
        next.applied(seq);
        if law::may_take_over(next.is_ready()) {
            // Never in neither of the two: whoever adds a key to both would miss it.
            in_order!(FilterInNeither =>
                self.filter.store(Some(next)),
                self.next_filter.store(None)
            );
        }
    }

    /// Whether a filter should be filled: there is none of this epoch, or it is worn; and none
    /// [waits](Self::filter_waits).
    pub fn wants_filter(&self) -> bool {
        !self.filter_waits() && self.filter().is_none_or(|filter| filter.is_worn())
    }

    /// Whether a filter is filled, and waits for the feed to get to where it may answer.
    pub fn filter_waits(&self) -> bool {
        let next = self.next_filter.load_full();
        next.is_some_and(|next| next.is_scanned() && next.epoch == self.epoch())
    }

    /// The filter that answers, if there is one.
    pub fn filter(&self) -> Option<Arc<Filter>> {
        self.filter.load_full().filter(|filter| filter.epoch == self.epoch())
    }

    /// The memory that filters take, in bytes: of the one that answers and of the one that is filled.
    pub fn filter_bytes(&self) -> u64 {
        let filters = [&self.next_filter, &self.filter];
        filters.iter().filter_map(|filter| filter.load_full()).map(|filter| filter.bytes()).sum()
    }

    /// They are of another epoch; their memory is wanted. The history's lock is held.
    pub(super) fn drop_filters(&self) {
        for filter in [&self.filter, &self.next_filter] {
            step!(FilterOutlivesEpoch => filter.store(None));
        }
    }
}
