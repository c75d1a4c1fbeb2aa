//! The steps that writes are made of. Each concerns one shard.

use super::Wanted;
use crate::domain::{ForwardRow, Id, InverseRow, Key, Stamp};

/// One step. A job is one or several, and happens whole or not at all.
#[derive(Clone, Debug)]
pub enum WriteStep {
    /// Inserts an inverse row of its own: from now on `canonical` can be no alias.
    Pin {
        canonical: Key,
        alias: Id,
        stamp: Stamp,
        /// How many aliases `canonical` may have.
        limit: u64,
        /// Inverse rows that are known to be orphans and do not count. `None`: nobody has looked.
        orphans: Option<Vec<(Id, Stamp)>>,
    },
    /// Inserts the forward row, unless the alias is pinned as canonical or an alias already.
    Create { alias: Key, canonical: Id, stamp: Stamp },
    /// Points an alias elsewhere, if it has the expected version.
    Repoint { alias: Key, canonical: Id, stamp: Stamp, expected_version: u64 },
    /// Takes the forward row away. `expected_version` 0: any.
    Delete { alias: Key, expected_version: u64 },
    /// Takes away an inverse row whose forward row will never be, or is no more.
    Unpin(InverseRow),
}

/// What a step did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    Pinned,
    /// The forward row as it is now. `stale_pin`: the inverse row of what it was before, which is on
    /// another shard and has to be removed there.
    Stored {
        row: ForwardRow,
        stale_pin: Option<InverseRow>,
    },
    Deleted {
        stale_pin: Option<InverseRow>,
    },
    Unpinned,
}

/// Why a job did nothing. All of it is definite: nothing was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepRefusal {
    /// The id to be pinned is itself an alias, of this one.
    IsAliasOf(Id),
    /// It has as many inverse rows as it may have aliases, or more; some may be orphans.
    Full,
    /// The alias is pinned as canonical, by an alias or by an orphan.
    Pinned,
    /// The alias is there already, with this canonical id: nothing to do.
    Unchanged(ForwardRow),
    /// The alias is there already, with another canonical id.
    Taken(ForwardRow),
    NotFound,
    /// The alias has another version than expected.
    Stale(ForwardRow),
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
            Self::Create { alias, .. }
            | Self::Repoint { alias, .. }
            | Self::Delete { alias, .. } => {
                wanted.keys.push(alias.clone());
            }
            Self::Unpin(_) => {}
        }
    }
}
