//! The answer for an id.

use bytes::Bytes;

/// What is known of an id. There is no value of this type for an id that nobody could look up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The id to store the event under.
    pub canonical: Bytes,
    /// Whether the id is an alias. If not, `canonical` is the id itself.
    pub is_alias: bool,
    /// The last known state, perhaps old: the database could not be reached.
    pub degraded: bool,
}

/// The most bytes of an id.
const ID_BYTES: usize = 255;

impl Resolved {
    /// The answer for an id that is no alias.
    pub(crate) fn unchanged(id: Bytes, degraded: bool) -> Self {
        Self { canonical: id, is_alias: false, degraded }
    }

    /// The answer for what can be no alias by the contract: it is empty, too long, or not UTF-8. The
    /// service would answer the same without a look at its data.
    pub(crate) fn of_no_id(id: &Bytes) -> Option<Self> {
        let is_id = (1..=ID_BYTES).contains(&id.len()) && str::from_utf8(id).is_ok();
        (!is_id).then(|| Self::unchanged(id.clone(), false))
    }
}
