//! The problems that a check can find, and their texts.

use super::history::LoggedState;
use aka_core::domain::{ForwardRow, Id, InverseRow, Key};
use std::fmt;

/// What to do about an alias whose log lines are pruned.
const UNCONFIRMED: &str = ", and the change log has no line that says the row is right: look at \
     it, and repair it with --trust-rows, or delete the alias";

/// What to do about rows that contradict each other.
const BY_HAND: &str = "rows were changed by hand; find out which is right, then create, update or \
     delete the alias through aka";

/// A broken invariant.
#[derive(Clone, Debug)]
pub enum Problem {
    /// A row is stored under a slot that is not its id's.
    WrongSlot { shard: usize, table: &'static str, key: Key, filed: u16 },
    /// A row is on a shard that does not own its slot.
    WrongShard { shard: usize, table: &'static str, key: Key },
    /// The canonical id of an alias is itself an alias.
    Chain { alias: Key, row: ForwardRow },
    /// The canonical id of an alias is not pinned.
    Unpinned {
        alias: Key,
        row: ForwardRow,
        /// Whether the change log says that the row is as its write left it.
        confirmed: bool,
    },
    /// An alias is not what its last write made it.
    RowDiffers { alias: Key, row: Option<ForwardRow>, witness: Witness },
    /// An old inverse row has no forward row.
    Orphan { row: InverseRow },
    /// The version of an alias is above the shard's clock.
    VersionAboveClock { shard: usize, key: Key, version: u64, clock: u64 },
    /// The change log lacks a seq.
    LogGap { shard: usize, from: u64, to: u64 },
    /// The newest line of the change log does not have the position of the clock row.
    LogEnd { shard: usize, clock: u64 },
}

/// What shows that somebody else than aka changed a row.
#[derive(Clone, Debug)]
pub enum Witness {
    /// The newest line of the change log about the alias.
    Log(LoggedState),
    /// The canonical id of an inverse row that has the stamp of the forward row.
    InverseRow(Id),
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(LoggedState { version, canonical: Some(id) }) => {
                write!(f, "the change log makes it an alias of {id:?} (version {version})")
            }
            Self::Log(LoggedState { version, canonical: None }) => {
                write!(f, "the change log deletes the alias (version {version})")
            }
            Self::InverseRow(id) => write!(f, "the inverse row of the same write names {id:?}"),
        }
    }
}

impl Problem {
    /// A name for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::WrongSlot { .. } => "wrong_slot",
            Self::WrongShard { .. } => "wrong_shard",
            Self::Chain { .. } => "chain",
            Self::Unpinned { .. } => "unpinned",
            Self::RowDiffers { .. } => "row_differs",
            Self::Orphan { .. } => "orphan",
            Self::VersionAboveClock { .. } => "version_above_clock",
            Self::LogGap { .. } => "log_gap",
            Self::LogEnd { .. } => "log_end",
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongSlot { shard, table, key, filed } => write!(
                f,
                "shard {shard}: a row of {table} for {key:?} is stored under slot {filed}, but belongs in slot {}",
                key.slot().get()
            ),
            Self::WrongShard { shard, table, key } => write!(
                f,
                "shard {shard}: a row of {table} for {key:?} is in slot {}, which another shard owns",
                key.slot().get()
            ),
            Self::Chain { alias, row } => {
                write!(f, "{alias:?} is an alias of {:?}, which is an alias itself", row.canonical)
            }
            Self::Unpinned { alias, row, confirmed } => {
                write!(
                    f,
                    "{alias:?} is an alias of {:?}, but has no inverse row that pins it",
                    row.canonical
                )?;
                f.write_str(if *confirmed { "" } else { UNCONFIRMED })
            }
            Self::RowDiffers { alias, row: Some(row), witness } => write!(
                f,
                "{alias:?} is an alias of {:?} (version {}), but {witness}: {BY_HAND}",
                row.canonical, row.version
            ),
            Self::RowDiffers { alias, row: None, witness } => {
                write!(f, "{alias:?} has no forward row, but {witness}: {BY_HAND}")
            }
            Self::Orphan { row } => write!(
                f,
                "{:?} has an old inverse row for {:?} without a forward row",
                row.canonical, row.alias
            ),
            Self::VersionAboveClock { shard, key, version, clock } => write!(
                f,
                "shard {shard}: {key:?} has version {version}, but the shard's clock stands at {clock}"
            ),
            Self::LogGap { shard, from, to } if from == to => {
                write!(f, "shard {shard}: the change log lacks seq {from}")
            }
            Self::LogGap { shard, from, to } => {
                write!(f, "shard {shard}: the change log lacks seqs {from} to {to}")
            }
            Self::LogEnd { shard, clock } => write!(
                f,
                "shard {shard}: the newest line of the change log is not at the position of the clock row (seq {clock})"
            ),
        }
    }
}

/// What a check read and found.
#[derive(Debug, Default)]
pub struct Findings {
    pub aliases: u64,
    pub inverse_rows: u64,
    pub log_lines: u64,
    /// Inverse rows without a forward row that are less than an hour old. Their writes may be under
    /// way, or died. They are no problem.
    pub young_orphans: u64,
    /// Aliases that were not compared with the change log, because too many were created and deleted
    /// since it begins.
    pub not_compared: u64,
    pub problems: Vec<Problem>,
    /// How many of the problems were repaired.
    pub repaired: usize,
}
