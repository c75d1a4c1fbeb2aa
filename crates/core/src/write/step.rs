//! Write steps: the actions that a write is made of. Each works on one shard.

use super::Wanted;
use crate::domain::{ForwardRow, Id, InverseRow, Key, Stamp};

/// One action on one shard. A job has one or several, and they happen whole or not at all.
#[derive(Clone, Debug)]
pub enum WriteStep {
    /// Inserts the write's own inverse row. While it is there, `canonical` cannot become an alias.
    Pin {
        /// The id to pin.
        canonical: Key,
        /// The alias that it is pinned for.
        alias: Id,
        /// The write's own stamp.
        stamp: Stamp,
        /// How many aliases `canonical` may have.
        limit: u64,
        /// The alias ids and stamps of inverse rows that are known to be orphans, and so are not
        /// counted. `None`: not known.
        orphans: Option<Vec<(Id, Stamp)>>,
    },
    /// Inserts the forward row, unless the id is pinned or is an alias already.
    Link { alias: Key, canonical: Id, stamp: Stamp },
    /// Points an alias at another canonical id, if it has the expected version.
    Relink { alias: Key, canonical: Id, stamp: Stamp, expected_version: u64 },
    /// Removes the forward row, if it has the expected version. 0: any version.
    Unlink { alias: Key, expected_version: u64 },
    /// Removes an inverse row whose forward row is gone, or will never be written.
    Unpin(InverseRow),
}

/// What a step did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The inverse row was inserted.
    Pinned,
    /// The forward row was inserted or changed. `old_pin` is the inverse row of its old canonical
    /// id, if that is on another shard: the caller must remove it there.
    Linked { row: ForwardRow, old_pin: Option<InverseRow> },
    /// The forward row was removed. `old_pin`: as in [`Linked`](Self::Linked).
    Unlinked { old_pin: Option<InverseRow> },
    /// The inverse row was removed, or was gone already.
    Unpinned,
}

/// Why a job did nothing. Each reason is definite: nothing was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepRefusal {
    /// The id to be pinned is itself an alias of this id.
    IsAliasOf(Id),
    /// The canonical id is at its limit of aliases. Orphans may be among those that were counted.
    Full,
    /// The alias id is pinned as canonical, by an alias or by an orphan.
    Pinned,
    /// The alias exists with this canonical id already.
    Unchanged(ForwardRow),
    /// The alias exists with another canonical id.
    Taken(ForwardRow),
    /// There is no such alias.
    NotFound,
    /// The alias does not have the expected version.
    VersionMismatch(ForwardRow),
}

impl WriteStep {
    /// Adds the rows that the step must see.
    pub fn wants(&self, wanted: &mut Wanted) {
        match self {
            Self::Pin { canonical, orphans, .. } => {
                wanted.keys.push(canonical.clone());
                if orphans.is_some() {
                    wanted.pins.push(canonical.clone());
                }
            }
            Self::Link { alias, .. } | Self::Relink { alias, .. } | Self::Unlink { alias, .. } => {
                wanted.keys.push(alias.clone());
            }
            Self::Unpin(_) => {}
        }
    }
}
