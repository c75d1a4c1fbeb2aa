//! Tests of the interleavings themselves: with each mutant, some order must break a promise.

use crate::caught;
use crate::scenarios;
use aka_core::mutant::{CaughtBy, Mutant};

macro_rules! caught {
    ($($mutant:ident: $scenario:ident)*) => {
        #[test]
        fn every_mutant_that_interleavings_catch_is_listed() {
            let listed = [$(stringify!($mutant)),*];
            for mutant in Mutant::ALL {
                let said = mutant.caught_by().contains(&CaughtBy::Interleavings);
                assert!(!said || listed.contains(&mutant.name()), "{}", mutant.name());
            }
        }

        $(
        #[test]
        fn $mutant() {
            let mutant = Mutant::named(stringify!($mutant)).expect("a mutant");
            let found = caught(mutant, scenarios::$scenario);
            let (orders, wrong) = found.expect("the mutant was not caught");
            let wrong = wrong.lines().next().unwrap_or("");
            println!("{}: caught in order {orders}: {wrong}", mutant.name());
        }
    )*};
}

caught! {
    // Only the order of two threads' steps shows these.
    answered_first: tokens_against_feed
    copies_unlocked: fill_against_feed
    joins_blindly: a_burst_of_misses
    token_last: tokens_against_feed
    filter_next_last: filter_against_write
    filter_in_neither: filter_against_load_and_feed
    snapshot_ends_at_cursor: restore_against_feed
    // The simulation catches these too. Here they show that each scenario can fail.
    no_fence: fill_against_feed
    feed_no_fence: refill_against_feed
    fence_with_entry: flight_against_leaving
    load_keeps_older: refill_against_feed
    no_floor: write_against_feed
    token_joins: tokens_against_feed
    acknowledged_first: write_against_feed
    write_no_fence: epoch_against_write
    write_inserts: epoch_against_write
    old_epoch_enters: epoch_against_load
    epoch_keeps_entries: epoch_against_write
    filter_registered_late: filter_against_write
    filter_misses_loads: filter_against_load_and_feed
}
