//! The program made wrong on purpose: an order must be found in which a promise is broken.

use crate::caught;
use crate::scenarios as these;
use aka_core::mutant::{CaughtBy, Mutant};

macro_rules! caught {
    ($($mutant:ident: $scenario:ident)*) => {
        /// Every mutant that says that the interleavings catch it is caught here.
        #[test]
        fn the_list_is_whole() {
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
            let found = caught(mutant, these::$scenario);
            let (orders, wrong) = found.expect("the mutant was not caught");
            let wrong = wrong.lines().next().unwrap_or("");
            println!("{}: caught in order {orders}: {wrong}", mutant.name());
        }
    )*};
}

caught! {
    // Only the order of steps is wrong: nothing that one thread does shows it.
    answered_first: tokens_against_feed
    copies_unlocked: fill_against_feed
    joins_blindly: a_burst_of_misses
    token_last: tokens_against_feed
    filter_next_last: filter_against_write
    filter_in_neither: filter_against_load_and_feed
    snapshot_ends_at_cursor: restore_against_feed
    // The simulation catches these, too: here they show that the scenarios look where they should.
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
