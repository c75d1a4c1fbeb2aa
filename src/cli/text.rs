//! Texts from elsewhere, made safe for a terminal.

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
    fn control_characters_are_escaped() {
        assert_eq!(printable("it's \"b\u{301}\"\u{9b}"), "it's \"b\u{301}\"\\u{9b}");
    }
}
