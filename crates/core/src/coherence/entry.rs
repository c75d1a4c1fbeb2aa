//! Entries: what the cache remembers of a key. moka holds an [`Entry`]. A [`View`] is an entry
//! whose bytes are elsewhere, as in the hot table.

use crate::domain::Id;
use bytes::Bytes;

/// "As of this seq, the id is an alias of that canonical id, or is not an alias" (rule 1).
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The canonical id; `None` if the id is not an alias.
    pub canonical: Option<Bytes>,
    /// The seq at which it was read or changed.
    pub as_of: u64,
    /// The epoch that it belongs to. In another epoch it is worthless.
    pub epoch: u64,
}

impl Entry {
    #[inline]
    pub fn view(&self) -> View<'_> {
        View { canonical: self.canonical.as_deref(), as_of: self.as_of, epoch: self.epoch }
    }
}

/// An entry whose canonical id is borrowed.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    pub canonical: Option<&'a [u8]>,
    pub as_of: u64,
    pub epoch: u64,
}

impl View<'_> {
    pub fn entry(self) -> Entry {
        let Self { canonical, as_of, epoch } = self;
        Entry { canonical: canonical.map(Bytes::copy_from_slice), as_of, epoch }
    }
}

/// A copy in memory of its own. An entry must not keep a database's whole answer alive.
pub(super) fn detached(canonical: Option<&Id>) -> Option<Bytes> {
    canonical.map(|id| Bytes::copy_from_slice(id.as_bytes()))
}
