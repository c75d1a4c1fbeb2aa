//! Texts from elsewhere, made safe for a terminal.

use std::fmt::{self, Write as _};

/// An id as people should see it: in quotes, and with all that is not visible escaped. That is line
/// ends, terminal codes, bytes that are not UTF-8, and combining marks, which make two ids look alike.
pub(super) struct Quoted<'a>(pub &'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for chunk in self.0.utf8_chunks() {
            for char in chunk.valid().chars() {
                match char {
                    '\'' => f.write_char('\'')?,
                    char => write!(f, "{}", char.escape_debug())?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        f.write_char('"')
    }
}

/// A text of the server with its control characters escaped. It may quote an id from anywhere, and
/// that must not control the terminal.
pub(super) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char.is_control() {
            true => out.extend(char.escape_debug()),
            false => out.push(char),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_shows_what_would_not_show_itself() {
        assert_eq!(Quoted(b"it's b1").to_string(), r#""it's b1""#);
        assert_eq!(Quoted(b"a\"\n\x1b[2J\xff").to_string(), r#""a\"\n\u{1b}[2J\xff""#);
        assert_eq!(Quoted("bo\u{301}b".as_bytes()).to_string(), r#""bo\u{301}b""#);
        assert_eq!(printable("it's \"b\u{301}\"\u{9b}"), "it's \"b\u{301}\"\\u{9b}");
    }
}
