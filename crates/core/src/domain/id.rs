//! Projects and ids: what may name a person, compared byte for byte.

use super::{IdHash, Slot};
use bytes::Bytes;
use std::fmt;

/// The longest id, in bytes of UTF-8.
pub const MAX_ID_BYTES: usize = 255;

/// A tenant: 1 to 2^63 − 1. Nothing is ever shared between two projects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Project(u64);

impl Project {
    /// `None` for 0 and above 2^63 − 1, which no shard could store.
    pub fn new(project: u64) -> Option<Self> {
        (1..=i64::MAX as u64).contains(&project).then_some(Self(project))
    }

    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Project {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why some bytes cannot be an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdFault {
    #[error("is empty")]
    Empty,
    #[error("is {0} bytes long, the limit is {MAX_ID_BYTES}")]
    TooLong(usize),
    #[error("is not UTF-8")]
    NotUtf8,
    #[error("holds a control character")]
    Control,
}

/// A valid `distinct_id`: 1 to 255 bytes of UTF-8 without control characters, compared byte for byte.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(Bytes);

impl Id {
    pub fn new(bytes: Bytes) -> Result<Self, IdFault> {
        validate(&bytes)?;
        Ok(Self(bytes))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// The id as text; it is UTF-8 by construction, so nothing is ever replaced.
    pub fn to_text(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }

    /// The same id in memory of its own, so that it does not keep a whole request message alive.
    pub fn detached(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&String::from_utf8_lossy(&self.0), f)
    }
}

impl TryFrom<&str> for Id {
    type Error = IdFault;

    fn try_from(text: &str) -> Result<Self, IdFault> {
        Self::new(Bytes::copy_from_slice(text.as_bytes()))
    }
}

/// Whether these bytes are an id.
///
/// # Errors
/// If they are not, with the first reason.
pub fn validate(bytes: &[u8]) -> Result<(), IdFault> {
    if bytes.is_empty() {
        return Err(IdFault::Empty);
    }
    if bytes.len() > MAX_ID_BYTES {
        return Err(IdFault::TooLong(bytes.len()));
    }
    // Almost every id is printable ASCII: one pass settles those. It looks at all bytes, many at a time,
    // which is quicker than to stop at the first that is not.
    if bytes.iter().fold(true, |all, byte| all & (0x20..0x7f).contains(byte)) {
        return Ok(());
    }
    let text = std::str::from_utf8(bytes).map_err(|_| IdFault::NotUtf8)?;
    // `char::is_control` is exactly C0, DEL and C1 (Unicode category Cc).
    if text.chars().any(char::is_control) { Err(IdFault::Control) } else { Ok(()) }
}

/// An id in its project, with the slot that owns it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    slot: Slot,
    project: Project,
    id: Id,
}

impl Key {
    pub fn new(project: Project, id: Id) -> Self {
        Self { slot: Slot::of(project, id.as_bytes()), project, id }
    }

    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// Computed anew: it is wanted seldom.
    pub fn id_hash(&self) -> IdHash {
        IdHash::of(self.project, self.id.as_bytes())
    }

    pub fn project(&self) -> Project {
        self.project
    }

    pub fn id(&self) -> &Id {
        &self.id
    }

    pub fn into_id(self) -> Id {
        self.id
    }

    /// Another id of the same project.
    pub fn sibling(&self, id: Id) -> Self {
        Self::new(self.project, id)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:?}", self.project, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(bytes: &[u8]) -> Option<IdFault> {
        Id::new(Bytes::copy_from_slice(bytes)).err()
    }

    #[test]
    fn bounds_are_bytes() {
        assert_eq!(fault(b""), Some(IdFault::Empty));
        assert_eq!(fault(&[b'a'; 255]), None);
        assert_eq!(fault(&[b'a'; 256]), Some(IdFault::TooLong(256)));
        assert_eq!(fault("é".repeat(127).as_bytes()), None);
        assert_eq!(fault("é".repeat(128).as_bytes()), Some(IdFault::TooLong(256)));
    }

    #[test]
    fn control_characters_are_c0_del_and_c1() {
        for control in ["\0", "\u{1f}", "\u{7f}", "\u{80}", "\u{9f}", "a\nb"] {
            assert_eq!(fault(control.as_bytes()), Some(IdFault::Control), "{control:?}");
        }
        for fine in [" ", "~", "\u{a0}", "bob ", "bo\u{301}b", "𐍈"] {
            assert_eq!(fault(fine.as_bytes()), None, "{fine:?}");
        }
        assert_eq!(fault(b"\xff"), Some(IdFault::NotUtf8));
    }

    #[test]
    fn projects_fit_a_signed_column() {
        assert!(Project::new(0).is_none());
        assert!(Project::new(1).is_some());
        assert!(Project::new(i64::MAX as u64).is_some());
        assert!(Project::new(i64::MAX as u64 + 1).is_none());
    }
}
