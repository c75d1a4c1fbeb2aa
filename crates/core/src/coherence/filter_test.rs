//! The filter's unit tests, in a file of their own: the file of the filter is compiled by
//! `tests/interleavings` too, whose atomics work in an exploration only.

use super::filter::Filter;
use crate::domain::{IdHash, Project};

fn hash(number: u64) -> IdHash {
    IdHash::of(Project::new(7).expect("a project"), &number.to_be_bytes())
}

#[test]
fn it_forgets_nothing_and_is_seldom_wrong() {
    let filter = Filter::new(1_000_000, 1);
    (0..1_000_000).for_each(|number| filter.insert(hash(number)));
    assert!((0..1_000_000).all(|number| filter.may_hold(hash(number))));
    let perhaps = (1_000_000..2_000_000).filter(|&number| filter.may_hold(hash(number)));
    let perhaps = perhaps.count();
    assert!(perhaps < 5_000, "{perhaps} of a million taken for aliases");
    assert!(filter.bytes() <= 2_400_000, "{} bytes", filter.bytes());
    assert!(!filter.is_worn());
    assert!((990_000..=1_000_000).contains(&filter.len()), "{}", filter.len());
}

/// The keys of a shard that owns one slot only have their top bits in common.
#[test]
fn one_slot_is_spread_over_all_blocks() {
    let in_slot = || (0..).map(hash).filter(|hash| hash.slot().get() == 0);
    let filter = Filter::new(1_000, 1);
    in_slot().take(1_000).for_each(|hash| filter.insert(hash));
    let others = in_slot().skip(1_000).take(1_000);
    let perhaps = others.filter(|&hash| filter.may_hold(hash)).count();
    assert!(perhaps < 10, "{perhaps} of a thousand taken for aliases");
}
