//! The law broken on purpose.
//!
//! A mutant is one way to break one rule. Each must be noticed by a test, or the rule is not tested. The
//! rules themselves do not know of mutants: [`coherence::rules`](crate::coherence) are pure functions,
//! and a build with the feature `test-hooks` puts the broken ones in their place. Without the feature
//! nothing here is left but names.

/// The test that notices a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaughtBy {
    /// `crates/core/tests/simulation`, within the seeds that the right program passes.
    Simulation,
    /// `crates/core/tests/simulation/scripts.rs`: what takes too many coincidences for a random seed.
    Scripts,
    /// `crates/core/tests/interleavings`: what only the order of two threads' steps shows.
    Interleavings,
    /// A test of the whole service, in `tests/it`.
    Service(&'static str),
}

macro_rules! mutants {
    ($($variant:ident $name:literal $rule:literal $breaks:literal [$($by:expr),*];)*) => {
        /// One way to break one rule.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Mutant {
            $(#[doc = $breaks] $variant,)*
        }

        impl Mutant {
            /// All of them, by the rule that they break.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The mutant of this name.
            pub fn named(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|mutant| mutant.name() == name)
            }

            /// What `AKA_MUTANT` calls it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The rule of `docs/design.md` that it breaks.
            pub fn rule(self) -> &'static str {
                match self { $(Self::$variant => $rule,)* }
            }

            /// How it breaks the rule.
            pub fn breaks(self) -> &'static str {
                match self { $(Self::$variant => $breaks,)* }
            }

            /// The tests that notice it.
            pub fn caught_by(self) -> &'static [CaughtBy] {
                use CaughtBy::*;
                match self { $(Self::$variant => &[$($by),*],)* }
            }
        }
    };
}

mutants! {
    AsOfGreatest "as_of_greatest" "1"
        "an entry is as of the greatest seq known, not of its own load: changes in between pass it by" [Simulation];
    FeedNoFence "feed_no_fence" "2"
        "the feed updates entries, but raises no fence: a load that is out brings the old state back" [Simulation];
    FenceWithEntry "fence_with_entry" "2"
        "the fence is raised only where there is an entry: a miss that is out brings the old state back" [Simulation];
    FeedSkipsEntries "feed_skips_entries" "2"
        "the feed moves the cursor and the fences, but updates no entry" [Simulation, Service("audit::a_change_that_memory_missed_is_found")];
    NoFence "no_fence" "3"
        "a load older than the fence enters the cache" [Simulation, Service("stale_set::without_the_fence_the_race_is_lost")];
    NegativesNotFenced "negatives_not_fenced" "3"
        "a load that found no alias enters whatever the fence says" [Simulation];
    OldEpochEnters "old_epoch_enters" "3"
        "a load that outlives its epoch is answered and kept" [Simulation];
    AheadEnters "ahead_enters" "3"
        "a load ahead of the cursor enters though a look began since" [Scripts];
    LoadKeepsOlder "load_keeps_older" "3"
        "a load that may not enter leaves the older entry there" [Simulation];
    AnsweredFirst "answered_first" "3"
        "a load answers its readers before it replaces or drops the older entry" [Interleavings];
    NoFloor "no_floor" "4"
        "a reader takes a load from before a write that it has seen answered" [Simulation, Service("stale_set::without_the_floor_the_race_is_lost")];
    JoinsAnyLoad "joins_any_load" "4"
        "a reader takes a load that was sent too long before it came" [Simulation];
    TokenJoins "token_joins" "4"
        "a reader with a token takes a load that was sent before it came" [Simulation];
    JoinsBlindly "joins_blindly" "4"
        "a reader who has missed does not look again under the stripe's lock: two queries" [Interleavings];
    NoLocalApply "no_local_apply" "5"
        "memory is not told of a write" [Simulation, Service("stale_set::own_writes_do_not_wait_for_the_feed")];
    AcknowledgedFirst "acknowledged_first" "5"
        "a write is acknowledged before memory is told" [Simulation];
    WriteInserts "write_inserts" "5"
        "a write puts its value into the cache" [Simulation];
    WriteNoFence "write_no_fence" "5"
        "a write removes the entry, but raises no fence" [Simulation];
    WriteKeepsEntry "write_keeps_entry" "5"
        "a write raises the fence, but leaves the entry" [Simulation];
    WriteTrustsSeq "write_trusts_seq" "5"
        "a write leaves an entry of a greater seq, which may be of another history" [Simulation];
    WriteTrustsEntry "write_trusts_entry" "5"
        "a write leaves an entry that is ahead of the feed and has a greater seq" [Scripts];
    FreshAtEnd "fresh_at_end" "6"
        "memory is as fresh as the end of the look, not its start" [Simulation];
    FreshWhenPartial "fresh_when_partial" "6"
        "a look that did not reach the clock makes memory fresh" [Simulation];
    StaleServed "stale_served" "6"
        "entries are served past the limit" [Simulation];
    DegradedForEver "degraded_for_ever" "6"
        "degraded answers have no limit" [Simulation];
    NonceIgnoredAtCursor "nonce_ignored_at_cursor" "7"
        "a look does not compare the nonce at the cursor" [Simulation];
    NonceIgnoredBehind "nonce_ignored_behind" "7"
        "a position behind the cursor is not compared" [Simulation];
    NonceIgnoredAhead "nonce_ignored_ahead" "7"
        "a position ahead of the cursor is not compared when the feed arrives" [Simulation];
    PrunedIsFine "pruned_is_fine" "7"
        "a log pruned past the cursor is followed from where it begins" [Simulation];
    ClockMayGoBack "clock_may_go_back" "7"
        "a clock that went back is no contradiction" [Simulation];
    StartKeepsEpoch "start_keeps_epoch" "7"
        "entries are kept before the first cursor, and setting it begins no epoch" [Simulation];
    ConnectionsStay "connections_stay" "7"
        "a new epoch closes no connections: an old primary goes on answering" [Simulation];
    EpochKeepsEntries "epoch_keeps_entries" "7"
        "a new epoch keeps the entries" [Simulation];
    FrontKeepsChanges "front_keeps_changes" "2, 5"
        "the table in front keeps what it has when an entry changes" [Simulation];
    CopiesUnlocked "copies_unlocked" "2, 3"
        "an entry is copied to the front that was read without the stripe's lock" [Interleavings];
    FilterTooEarly "filter_too_early" "filter"
        "it answers before the feed has applied what its pages were read at" [Simulation];
    FilterRegisteredLate "filter_registered_late" "filter"
        "what happens while it is filled is not added" [Simulation];
    FilterMissesFeed "filter_misses_feed" "filter"
        "the feed does not add to it" [Simulation];
    FilterMissesLoads "filter_misses_loads" "filter"
        "a load that found an alias does not add to it" [Simulation];
    FilterMissesWrites "filter_misses_writes" "filter"
        "a local write does not add to it" [Simulation];
    FilterOutlivesEpoch "filter_outlives_epoch" "filter"
        "it is kept when an epoch begins" [Simulation];
    SnapshotSkipsChanges "snapshot_skips_changes" "filter"
        "what has changed since the filter was saved is not added" [Simulation, Service("filter::without_what_has_changed_since_the_answer_is_wrong")];
    SnapshotTooEarly "snapshot_too_early" "filter"
        "it is used after the first page of what has changed" [Simulation];
    SnapshotIgnoresNonce "snapshot_ignores_nonce" "filter"
        "the log may hold another change where the filter was saved" [Scripts];
    SnapshotIgnoresPruning "snapshot_ignores_pruning" "filter"
        "the log may begin after the place where the filter was saved, or have a gap" [Scripts];
    SnapshotEndsAtCursor "snapshot_ends_at_cursor" "filter"
        "what has changed is read to the cursor, not beyond: the feed may have added the next change before it knew of the filter" [Interleavings];
    FilterNextLast "filter_next_last" "filter"
        "who adds a key looks for the next filter after the one that answers" [Interleavings];
    FilterInNeither "filter_in_neither" "filter"
        "the next filter leaves its place before it answers" [Interleavings];
    TokenIgnored "token_ignored" "8"
        "a token is not looked at" [Simulation];
    TokenSeqOnly "token_seq_only" "8"
        "a token counts as applied where its seq is, whatever the nonce" [Simulation];
    TokenLast "token_last" "8"
        "whether a token is applied is asked after the entry was read" [Interleavings];
    AheadServesToken "ahead_serves_token" "8"
        "an entry ahead of the feed serves a token" [Scripts];
    DegradedForToken "degraded_for_token" "8"
        "a token is answered degraded" [Simulation];
}

#[cfg(feature = "test-hooks")]
mod active {
    use super::Mutant;
    use crate::clock::Boottime;
    use std::cell::Cell;
    use std::sync::LazyLock;

    /// The mutant of the whole process, from `AKA_MUTANT`.
    static PROCESS: LazyLock<Option<Mutant>> = LazyLock::new(|| {
        let name = std::env::var("AKA_MUTANT").ok().filter(|name| !name.is_empty())?;
        // A misspelt mutant would break nothing, and a test would take that for a rule that holds.
        Some(Mutant::named(&name).unwrap_or_else(|| panic!("there is no mutant {name:?}")))
    });

    thread_local! {
        /// The mutant of this thread. Simulations run side by side, each broken in its own way.
        static THREAD: Cell<Option<Mutant>> = const { Cell::new(None) };
        /// The simulated time, for a mutant that reads the clock where the program does not.
        static TIME: Cell<Boottime> = const { Cell::new(Boottime::ZERO) };
    }

    /// Breaks the law in this way on this thread; `None` makes it whole again.
    pub fn set_thread_mutant(mutant: Option<Mutant>) {
        THREAD.set(mutant);
    }

    /// Sets the simulated time of this thread.
    pub fn set_thread_time(now: Boottime) {
        TIME.set(now);
    }

    pub(crate) fn thread_time() -> Boottime {
        TIME.get()
    }

    /// The mutant in force on this thread.
    pub fn active() -> Option<Mutant> {
        THREAD.get().or(*PROCESS)
    }
}

#[cfg(feature = "test-hooks")]
pub(crate) use active::thread_time;
#[cfg(feature = "test-hooks")]
pub use active::{active, set_thread_mutant, set_thread_time};

/// Whether the law is broken in this way. Never, without `test-hooks`.
#[inline(always)]
pub fn is_on(mutant: Mutant) -> bool {
    #[cfg(feature = "test-hooks")]
    let on = active() == Some(mutant);
    #[cfg(not(feature = "test-hooks"))]
    let on = {
        let _ = mutant;
        false
    };
    on
}

/// Does a step of a rule. The mutants leave it out, or do so `if` something is the case.
macro_rules! step {
    ($($mutant:ident $(if $when:expr)?),+ => $step:expr) => {
        if !(false $(|| ($crate::mutant::is_on($crate::mutant::Mutant::$mutant) $(&& $when)?))+) {
            $step;
        }
    };
}

/// Does two steps of a rule in their order. The mutant turns the order around.
macro_rules! in_order {
    ($mutant:ident => $first:expr, $second:expr) => {
        if $crate::mutant::is_on($crate::mutant::Mutant::$mutant) {
            $second;
            $first;
        } else {
            $first;
            $second;
        }
    };
}

/// Does what only the mutant does.
macro_rules! sabotage {
    ($mutant:ident => $wrong:expr) => {
        if $crate::mutant::is_on($crate::mutant::Mutant::$mutant) {
            $wrong;
        }
    };
}

pub(crate) use {in_order, sabotage, step};
