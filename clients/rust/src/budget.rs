//! How often a client may repeat itself, as a share of what goes well. When all servers fail, retries
//! must not multiply the load on them.

use parking_lot::Mutex;
use rand::RngExt;
use std::time::Duration;

/// The budget at the start, and the most of it: ten retries, in tenths.
const FULL: u32 = 100;
const RETRY: u32 = 10;
const SUCCESS: u32 = 1;
/// One of so many ids may be hedged.
const HEDGE_SHARE: u64 = 20;

const FIRST_PAUSE: Duration = Duration::from_millis(25);
const GREATEST_PAUSE: Duration = Duration::from_millis(500);

/// The budgets of a client.
pub(crate) struct Budget(Mutex<Spent>);

struct Spent {
    retries_left: u32,
    sent_ids: u64,
    hedged_ids: u64,
}

impl Budget {
    pub fn new() -> Self {
        Self(Mutex::new(Spent { retries_left: FULL, sent_ids: 0, hedged_ids: 0 }))
    }

    /// A call went well.
    pub fn earn(&self) {
        let mut spent = self.0.lock();
        spent.retries_left = (spent.retries_left + SUCCESS).min(FULL);
    }

    /// Whether one more retry is allowed.
    pub fn may_retry(&self) -> bool {
        let mut spent = self.0.lock();
        let left = spent.retries_left.checked_sub(RETRY);
        spent.retries_left = left.unwrap_or(spent.retries_left);
        left.is_some()
    }

    pub fn sent(&self, ids: usize) {
        self.0.lock().sent_ids += ids as u64;
    }

    /// Whether so many ids may be sent to a second server.
    pub fn may_hedge(&self, ids: usize) -> bool {
        let mut spent = self.0.lock();
        let hedged = spent.hedged_ids + ids as u64;
        let allowed = hedged.saturating_mul(HEDGE_SHARE) <= spent.sent_ids;
        if allowed {
            spent.hedged_ids = hedged;
        }
        allowed
    }
}

/// The pause before a retry, from 0: drawn between nothing and a limit that doubles ("full jitter", so
/// that the clients of a server that came back do not come all at once).
pub(crate) fn pause(retry: u32) -> Duration {
    let limit = FIRST_PAUSE.saturating_mul(1 << retry.min(16)).min(GREATEST_PAUSE);
    rand::rng().random_range(Duration::ZERO..=limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_ten_and_a_tenth_of_what_goes_well() {
        let budget = Budget::new();
        assert_eq!((0..30).filter(|_| budget.may_retry()).count(), 10);
        (0..25).for_each(|_| budget.earn());
        assert_eq!((0..30).filter(|_| budget.may_retry()).count(), 2);
        (0..10_000).for_each(|_| budget.earn());
        assert_eq!((0..30).filter(|_| budget.may_retry()).count(), 10);
    }

    #[test]
    fn one_id_of_twenty_is_hedged() {
        let budget = Budget::new();
        budget.sent(19);
        assert!(!budget.may_hedge(1));
        budget.sent(381);
        assert!(budget.may_hedge(15) && !budget.may_hedge(6) && budget.may_hedge(5));
    }

    #[test]
    fn pauses_grow_to_half_a_second() {
        for (retry, limit) in [(0, 25), (1, 50), (4, 400), (5, 500), (60, 500)] {
            let longest = (0..2_000).map(|_| pause(retry)).max().unwrap_or_default();
            let limit = Duration::from_millis(limit);
            assert!(longest <= limit && longest > limit / 2, "{retry}: {longest:?}");
        }
    }
}
