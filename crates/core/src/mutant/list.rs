//! All mutants: what each breaks, and which test catches it.

/// The test that catches a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaughtBy {
    /// `crates/core/tests/simulation`, within the seeds that the right program passes.
    Simulation,
    /// `crates/core/tests/simulation/scripts.rs`. The fault needs more coincidences than random
    /// seeds bring about.
    Scripts,
    /// `crates/core/tests/interleavings`. Only the order of two threads' steps shows it.
    Interleavings,
    /// This test of the whole service, in `tests/it`.
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
            /// All mutants, in the order of the rules that they break.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The mutant with this name.
            pub fn named(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|mutant| mutant.name() == name)
            }

            /// The name that `AKA_MUTANT` and `docs/testing.md` use.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The numbers of the rules of `docs/design.md` that it breaks. `filter` stands for the
            /// rules of the filter, which have no number.
            pub fn rule(self) -> &'static str {
                match self { $(Self::$variant => $rule,)* }
            }

            /// What goes wrong with it, in a sentence.
            pub fn breaks(self) -> &'static str {
                match self { $(Self::$variant => $breaks,)* }
            }

            /// The tests that catch it.
            pub fn caught_by(self) -> &'static [CaughtBy] {
                use CaughtBy::*;
                match self { $(Self::$variant => &[$($by),*],)* }
            }
        }
    };
}

mutants! {
    AsOfGreatest "as_of_greatest" "1"
        "an entry gets the greatest known seq instead of its own load's: the changes in between \
         are never applied to it"
        [Simulation];
    FeedNoFence "feed_no_fence" "2"
        "the feed updates entries but does not raise the fence: a load that is out brings the \
         old state back"
        [Simulation];
    FenceWithEntry "fence_with_entry" "2"
        "the feed raises the fence only where there is an entry: a load that is out fills the \
         empty place with the old state"
        [Simulation];
    FeedSkipsEntries "feed_skips_entries" "2"
        "the feed moves the fences and the cursor, but does not update entries"
        [Simulation, Service("audit::a_change_that_memory_missed_is_found")];
    NoFence "no_fence" "3"
        "a load from below the fence enters the cache"
        [Simulation, Service("stale_set::without_the_fence_the_race_is_lost")];
    NegativesNotFenced "negatives_not_fenced" "3"
        "a load that found no alias enters the cache even from below the fence"
        [Simulation];
    OldEpochEnters "old_epoch_enters" "3"
        "a load of an earlier epoch is given to readers and enters the cache"
        [Simulation];
    AheadEnters "ahead_enters" "3"
        "a load from ahead of the cursor enters the cache although a poll began after it was sent"
        [Scripts];
    LoadKeepsOlder "load_keeps_older" "3"
        "a load that may not enter the cache leaves an older entry there"
        [Simulation];
    AnsweredFirst "answered_first" "3"
        "a load is given to its readers before the older entry is replaced or dropped"
        [Interleavings];
    FillNoFence "fill_no_fence" "3"
        "a row of a scan enters the cache from below the fence"
        [Simulation];
    FillIgnoresLoads "fill_ignores_loads" "3"
        "a row of a scan enters although a load has told readers of a newer state"
        [Scripts];
    FillBesideLoad "fill_beside_load" "3"
        "a row of a scan enters while a load is under way, which may have read an earlier state"
        [Scripts];
    FillAhead "fill_ahead" "3, 7"
        "a row of a scan from ahead of the cursor enters although a poll has begun since"
        [Scripts];
    FillOfAnyEpoch "fill_of_any_epoch" "3, 7"
        "a row of a scan of an earlier epoch enters the cache"
        [Scripts];
    FillFromReplica "fill_from_replica" "3, 10"
        "a row of a scan enters the cache from a server that takes no writes"
        [Scripts];
    SavedNotUpdated "saved_not_updated" "3"
        "an alias of a snapshot enters the cache although it has changed since"
        [Scripts];
    SavedAhead "saved_ahead" "3, 7"
        "the aliases of a snapshot enter before the feed has applied the position that they are of"
        [Scripts];
    NoFloor "no_floor" "4"
        "a reader takes a load from before a write whose answer it has seen"
        [Simulation, Service("stale_set::without_the_floor_the_race_is_lost")];
    JoinsAnyLoad "joins_any_load" "4"
        "a reader takes a load that was sent longer than the staleness limit before it arrived"
        [Simulation];
    TokenJoins "token_joins" "4"
        "a reader with a token takes a load that was sent before it arrived"
        [Simulation];
    JoinsBlindly "joins_blindly" "4"
        "a reader that missed does not look into memory again under the stripe's lock: two queries"
        [Interleavings];
    NoLocalApply "no_local_apply" "5"
        "memory is not told of local writes"
        [Simulation, Service("stale_set::own_writes_do_not_wait_for_the_feed")];
    AcknowledgedFirst "acknowledged_first" "5"
        "a write is acknowledged before memory is told of it"
        [Simulation];
    WriteInserts "write_inserts" "5"
        "a local write inserts its value into the cache"
        [Simulation];
    WriteNoFence "write_no_fence" "5"
        "a local write removes the entry but does not raise the fence"
        [Simulation];
    WriteKeepsEntry "write_keeps_entry" "5"
        "a local write raises the fence but leaves the entry"
        [Simulation];
    WriteTrustsSeq "write_trusts_seq" "5"
        "a local write leaves an entry with a greater seq, which may belong to another history"
        [Simulation];
    WriteTrustsEntry "write_trusts_entry" "5"
        "a local write leaves an entry that has a greater seq and is ahead of the cursor"
        [Scripts];
    FreshAtEnd "fresh_at_end" "6"
        "freshness counts from the end of a poll instead of its start"
        [Simulation];
    FreshWhenPartial "fresh_when_partial" "6"
        "a poll that did not reach the shard's clock counts as complete"
        [Simulation];
    StaleServed "stale_served" "6"
        "memory answers past the staleness limit"
        [Simulation];
    DegradedForEver "degraded_for_ever" "6"
        "degraded answers are given past the degraded limit"
        [Simulation];
    NonceIgnoredAtCursor "nonce_ignored_at_cursor" "7"
        "a poll does not compare the nonce at the cursor"
        [Simulation];
    NonceIgnoredBehind "nonce_ignored_behind" "7"
        "the nonce of a position behind the cursor is not compared"
        [Simulation];
    NonceIgnoredAhead "nonce_ignored_ahead" "7"
        "the nonce of a position ahead of the cursor is not compared when the feed arrives there"
        [Simulation];
    PrunedIsFine "pruned_is_fine" "7"
        "a log that was pruned past the cursor, or has a gap, is followed from where it begins"
        [Simulation];
    ClockMayGoBack "clock_may_go_back" "7"
        "a clock that went back does not begin a new epoch"
        [Simulation];
    StartKeepsEpoch "start_keeps_epoch" "7"
        "entries are kept before the first cursor, and setting the cursor begins no epoch"
        [Simulation];
    ConnectionsStay "connections_stay" "7"
        "connections stay open after a contradiction: an old primary goes on answering"
        [Simulation];
    EpochKeepsEntries "epoch_keeps_entries" "7"
        "a new epoch keeps the entries"
        [Simulation];
    HotTableMissesChanges "hot_table_misses_changes" "2, 5"
        "a change of an entry does not reach the hot table"
        [Simulation];
    CopiesUnlocked "copies_unlocked" "2, 3"
        "an entry that was read without the stripe's lock is copied to the hot table"
        [Interleavings];
    FilterTooEarly "filter_too_early" "filter"
        "the filter answers before the feed has applied the highest seq that its pages were read at"
        [Simulation];
    FilterRegisteredLate "filter_registered_late" "filter"
        "the filter is registered after its scan: what changes during the scan is not added"
        [Simulation];
    FilterMissesFeed "filter_misses_feed" "filter"
        "the feed does not add aliases to the filter"
        [Simulation];
    FilterMissesLoads "filter_misses_loads" "filter"
        "a load that found an alias does not add it to the filter"
        [Simulation];
    FilterMissesWrites "filter_misses_writes" "filter"
        "a local write does not add its alias to the filter"
        [Simulation];
    FilterOutlivesEpoch "filter_outlives_epoch" "filter"
        "a new epoch keeps the filter"
        [Simulation];
    SnapshotSkipsChanges "snapshot_skips_changes" "filter"
        "changes since the filter was saved are not added to it"
        [Simulation, Service("filter::skipping_the_changes_since_the_snapshot_is_caught")];
    SnapshotTooEarly "snapshot_too_early" "filter"
        "a saved filter is complete after the first page of the log"
        [Simulation];
    SnapshotIgnoresNonce "snapshot_ignores_nonce" "filter"
        "a saved filter is used although the log holds another change at its position"
        [Scripts];
    SnapshotIgnoresPruning "snapshot_ignores_pruning" "filter"
        "a saved filter is used although the log was pruned past its position, or has a gap"
        [Scripts];
    SnapshotEndsAtCursor "snapshot_ends_at_cursor" "filter"
        "the log is read up to the cursor, not beyond: the feed may have added the next change \
         before the saved filter was registered"
        [Interleavings];
    FilterNextLast "filter_next_last" "filter"
        "an id is added to the filter that answers first, and to the next filter last"
        [Interleavings];
    FilterInNeither "filter_in_neither" "filter"
        "the next filter is unregistered before it is registered as the one that answers"
        [Interleavings];
    TokenIgnored "token_ignored" "8"
        "tokens are ignored"
        [Simulation];
    TokenSeqOnly "token_seq_only" "8"
        "a token counts as applied if its seq was applied, with whatever nonce"
        [Simulation];
    TokenNoFloor "token_no_floor" "8"
        "a reader with a token takes a load from below the token's seq"
        [Simulation];
    TokenFloorForgotten "token_floor_forgotten" "8"
        "a reader with a token takes a load from below the token's seq after a new epoch began"
        [Simulation];
    TokenLast "token_last" "8"
        "the token is checked after the entry was read"
        [Interleavings];
    AheadServesToken "ahead_serves_token" "8"
        "an entry from ahead of the cursor serves a reader with a token"
        [Scripts];
    DegradedForToken "degraded_for_token" "8"
        "a reader with a token gets a degraded answer"
        [Simulation];
    NoRoleCheck "no_role_check" "10"
        "a server that takes no writes counts as the primary"
        [Simulation];
    RoleAtConnectOnly "role_at_connect_only" "10"
        "whether a server takes writes is asked when a connection opens, and not with each answer"
        [Simulation];
    NoBeat "no_beat" "10"
        "a server that takes writes counts as the primary without a beat"
        [Simulation];
    PollProofIgnored "poll_proof_ignored" "10"
        "memory counts as fresh from the start of a poll, whatever the age of the server's beat"
        [Simulation];
    LoadProofIgnored "load_proof_ignored" "10"
        "the answer of a server that takes writes counts as proven, whatever the age of its beat"
        [Simulation];
    BeatOfAnyClock "beat_of_any_clock" "10"
        "the age of a beat is counted although another server's clock made it"
        [Simulation];
    ReplicaUnmarked "replica_unmarked" "10"
        "the answer of a server that is not proven to be the primary is not marked as degraded"
        [Simulation];
    ReplicaCached "replica_cached" "10"
        "the answer of a server that takes no writes enters the cache"
        [Simulation];
    ReplicaForToken "replica_for_token" "10"
        "a reader with a token is answered by a server that is not proven to be the primary"
        [Simulation];
    ReplicaForEver "replica_for_ever" "10"
        "a replica that is behind by more than the degraded limit answers"
        [Simulation];
    ReplicaNoFloor "replica_no_floor" "10"
        "a replica answers although it lacks a change that is known here"
        [Simulation];
    HeldSentTwice "held_sent_twice" "1, 10"
        "a write is sent to the next primary although the first may have carried it out"
        [Simulation];
}
