//! The law of aka in code: what may be answered from memory, and what a write does. No I/O.
//!
//! aka answers, for every event that an analytics pipeline ingests, "is this id an alias, and if
//! so, of whom?". `docs/design.md` in the repository is the law: promises (P1 to P14), rules by
//! number, and why each rule is there. This crate keeps the rules. It names no database, no network
//! and no exporter, and the compiler sees to that: nothing of the kind is among its dependencies.
//! `docs/glossary.md` has the words.
//!
//! # Reading order
//!
//! 1. [`domain`]: ids, keys, slots, positions, tokens and rows, as types.
//! 2. [`clock`]: the clock that freshness is measured by.
//! 3. [`mod@write`]: what a write transaction does to a shard, as one pure function.
//! 4. [`coherence`]: when a remembered answer may be given. Its file `rules.rs` holds the rules
//!    that are decisions, each as a pure function with its number and its reason. Its page lists
//!    the other parts.
//! 5. [`mutant`]: how the tests break each rule, to prove that it is tested.
//!
//! # The path of a read
//!
//! 1. The service checks the id ([`domain::validate`], [`domain::Placeholders`]), hashes it
//!    ([`domain::IdHash`]), and finds the shard of its slot.
//! 2. [`Memory::read`](coherence::Memory::read) says whether memory may answer the request at all
//!    (rules 6 and 8).
//! 3. [`Reading`](coherence::Reading) answers from the filter, the hot table or moka.
//! 4. A reader that misses [joins](coherence::Memory::join) the flight of its key (rule 4), and
//!    waits on its [`Gather`](coherence::Gather). The reader that starts the flight hands the key
//!    to a lane.
//! 5. The lane [sends](coherence::Memory::send) one query for many keys. When the rows
//!    [land](coherence::Memory::land), they enter the cache if they may (rule 3), and answer the
//!    waiters that they are fresh enough for.
//!
//! # The path of a write
//!
//! 1. The service turns a request into write steps ([`write::WriteStep`]). Those of one write on
//!    one shard are a job.
//! 2. The shard's writer locks the clock row, reads the rows that a group of jobs needs
//!    ([`write::Wanted`]), and [evaluates](write::evaluate()) the jobs. It writes the
//!    [`write::ChangeSet`] and commits.
//! 3. [`Memory::committed`](coherence::Memory::committed) learns of the changes before the clients
//!    are answered (rule 5).
//! 4. The feed of every instance polls the change log ([`coherence::PendingPoll`]) and
//!    [applies](coherence::Memory::end_poll) the changes (rules 2 and 7).

pub mod clock;
pub mod coherence;
pub mod domain;
pub mod mutant;
#[cfg(not(feature = "shuttle"))]
mod sync;
#[cfg(feature = "shuttle")]
pub mod sync;
pub mod write;
