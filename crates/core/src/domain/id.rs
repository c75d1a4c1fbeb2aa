//! Ids, and which bytes are a valid one.
//!
//! Invariant: an [`Id`] is valid by type. It is 1 to 255 bytes of UTF-8 without control characters,
//! and ids are compared byte for byte (`docs/design.md`, section 2).

use bytes::Bytes;
use std::fmt;

/// The length of the longest id, in bytes of UTF-8.
pub const MAX_ID_BYTES: usize = 255;

/// Why some bytes are not an id. The messages complete a sentence that begins with a field's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdFault {
    /// There is no byte.
    #[error("is empty")]
    Empty,
    /// There are this many bytes, which is more than [`MAX_ID_BYTES`].
    #[error("is {0} bytes long, the limit is {MAX_ID_BYTES}")]
    TooLong(usize),
    /// The bytes are not UTF-8.
    #[error("is not UTF-8")]
    NotUtf8,
    /// It holds a control character: C0, DEL or C1.
    #[error("holds a control character")]
    Control,
}

/// A valid `distinct_id`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(Bytes);

impl Id {
    /// Checks the bytes.
    ///
    /// # Errors
    /// The first reason why they are not an id.
    #[inline]
    pub fn new(bytes: Bytes) -> Result<Self, IdFault> {
        validate(&bytes)?;
        Ok(Self(bytes))
    }

    /// The bytes of the id, which are UTF-8.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes as a buffer. A clone of the buffer shares its memory.
    #[inline]
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// The bytes as a buffer, without the type.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// The id as text. An id is valid UTF-8, so no character is replaced.
    pub fn to_text(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }

    /// A copy in its own memory. It does not keep the whole buffer of a request alive.
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

/// Checks whether these bytes are an id.
///
/// # Errors
/// The first reason why they are not.
#[inline]
pub fn validate(bytes: &[u8]) -> Result<(), IdFault> {
    if bytes.is_empty() {
        return Err(IdFault::Empty);
    }
    if bytes.len() > MAX_ID_BYTES {
        return Err(IdFault::TooLong(bytes.len()));
    }
    // Almost every id is printable ASCII, and one pass accepts those. The pass does not stop at the
    // first other byte: without an early exit the compiler checks many bytes at a time.
    if bytes.iter().fold(true, |all, byte| all & (0x20..0x7f).contains(byte)) {
        return Ok(());
    }
    let text = std::str::from_utf8(bytes).map_err(|_| IdFault::NotUtf8)?;
    // `char::is_control` means exactly C0, DEL and C1 (Unicode category Cc).
    if text.chars().any(char::is_control) { Err(IdFault::Control) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(bytes: &[u8]) -> Option<IdFault> {
        Id::new(Bytes::copy_from_slice(bytes)).err()
    }

    #[test]
    fn an_id_is_1_to_255_bytes_long() {
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
}
