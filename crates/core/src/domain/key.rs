//! Keys: an id together with its project, which is what the shards store and the cache remembers.

use super::{Id, IdHash, Project, Slot};
use std::fmt;

/// An id in its project, with the slot that owns it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    slot: Slot,
    project: Project,
    id: Id,
}

impl Key {
    /// Computes the slot.
    #[inline]
    pub fn new(project: Project, id: Id) -> Self {
        Self { slot: Slot::of(project, id.as_bytes()), project, id }
    }

    /// The slot that owns the key.
    #[inline]
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// The hash that the slot comes from. It is computed at each call.
    #[inline]
    pub fn id_hash(&self) -> IdHash {
        IdHash::of(self.project, self.id.as_bytes())
    }

    /// The project.
    #[inline]
    pub fn project(&self) -> Project {
        self.project
    }

    /// The id.
    #[inline]
    pub fn id(&self) -> &Id {
        &self.id
    }

    /// The id, without the rest.
    pub fn into_id(self) -> Id {
        self.id
    }

    /// The key of another id in the same project.
    pub fn sibling(&self, id: Id) -> Self {
        Self::new(self.project, id)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:?}", self.project, self.id)
    }
}
