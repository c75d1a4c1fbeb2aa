//! The filter's unit test, in a file of its own: the file of the filter is compiled by
//! `tests/interleavings` too, whose atomics work in an exploration only.

use super::Footprint;
use super::filter::Filter;
use ahash::RandomState;

#[test]
fn it_forgets_nothing_and_is_seldom_wrong() {
    let hasher = RandomState::with_seeds(1, 2, 3, 4);
    let place = |number: u64| Footprint::of(hasher.hash_one(number), 0);
    let filter = Filter::new(1_000_000, 1);
    (0..1_000_000).for_each(|number| filter.insert(place(number)));
    assert!((0..1_000_000).all(|number| filter.may_hold(place(number))));
    let perhaps = (1_000_000..2_000_000).filter(|&number| filter.may_hold(place(number)));
    let perhaps = perhaps.count();
    assert!(perhaps < 5_000, "{perhaps} of a million taken for aliases");
    assert!(filter.bytes() <= 2_400_000, "{} bytes", filter.bytes());
    assert!(!filter.is_full());
    assert!((990_000..=1_000_000).contains(&filter.len()), "{}", filter.len());
}
