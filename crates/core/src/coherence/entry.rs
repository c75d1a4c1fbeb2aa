//! What is remembered of a key, wherever it is kept.

use crate::domain::Id;
use bytes::Bytes;

/// An id is an alias of somebody, or of nobody, as of a position.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub canonical: Option<Bytes>,
    /// The seq that it was read or changed at.
    pub as_of: u64,
    /// The epoch of the shard that it belongs to; of another epoch it is worthless.
    pub epoch: u64,
}

impl Entry {
    pub fn view(&self) -> View<'_> {
        View { canonical: self.canonical.as_deref(), as_of: self.as_of, epoch: self.epoch }
    }
}

/// An entry, wherever it is kept.
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

/// The canonical id in memory of its own: an entry must not keep a whole answer of a database alive.
pub(super) fn detached(canonical: Option<&Id>) -> Option<Bytes> {
    canonical.map(|id| Bytes::copy_from_slice(id.as_bytes()))
}
