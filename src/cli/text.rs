//! Texts from elsewhere, made safe for a terminal.

/// A text of the server with all characters escaped that could control a terminal. It may quote an
/// id from anywhere.
pub(super) fn printable(text: &str) -> String {
    escaped(text, |_| false)
}

/// The output of a command in the form in which a terminal shows it: lines and tabs stay.
pub(super) fn for_terminal(output: &[u8]) -> String {
    escaped(&String::from_utf8_lossy(output), |char| matches!(char, '\n' | '\t'))
}

fn escaped(text: &str, stays: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        if is_control(char) && !stays(char) {
            out.extend(char.escape_unicode());
        } else {
            out.push(char);
        }
    }
    out
}

/// Whether the character moves the cursor, begins a command of the terminal, or changes the direction
/// of the text around it ("Trojan Source", N. Boucher and R. Anderson, 2021).
pub(super) fn is_control(char: char) -> bool {
    const DIRECTIONS: [char; 12] = [
        '\u{61c}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}',
        '\u{202e}', '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}',
    ];
    char.is_control() || DIRECTIONS.contains(&char)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(
            printable("it's \"b\u{301}\"\u{9b}\u{202e}"),
            "it's \"b\u{301}\"\\u{9b}\\u{202e}"
        );
        assert_eq!(for_terminal(b"a\tb\x1b[2J\r\n\xff"), "a\tb\\u{1b}[2J\\u{d}\n\u{fffd}");
    }
}
