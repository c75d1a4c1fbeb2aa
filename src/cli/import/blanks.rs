//! Blanks around the fields of CSV, outside of quotes. Whether they belong to an id, nobody but the
//! writer of the file knows: ids are compared byte for byte.

use clap::ValueEnum;

/// What blanks around an id mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Blanks {
    /// Nobody knows: the row is refused
    #[default]
    Refuse,
    /// Nothing: they are left out
    Trim,
    /// They belong to the id
    Keep,
}

/// A row of CSV without the blanks around its fields.
pub(super) struct Unpadded {
    pub text: Vec<u8>,
    /// For each field, whether it stands in no quotes and has blanks around it.
    pub padded: Vec<bool>,
}

/// Removes the blanks around fields. With `keep` it leaves those of fields without quotes. Blanks
/// between a quote and the delimiter belong to nothing.
pub(super) fn unpadded(row: &[u8], delimiter: u8, keep: bool) -> Unpadded {
    let (mut text, mut padded) = (Vec::with_capacity(row.len()), Vec::new());
    let mut rest = row;
    loop {
        let is_padding = |byte: u8| byte != delimiter && matches!(byte, b' ' | b'\t');
        let start = rest.iter().position(|&byte| !is_padding(byte)).unwrap_or(rest.len());
        let quoted = rest.get(start) == Some(&b'"');
        let search = if quoted { start + quoted_bytes(&rest[start..]) } else { 0 };
        let end = rest[search..].iter().position(|&byte| byte == delimiter);
        let end = end.map_or(rest.len(), |end| search + end);
        let field = &rest[..end];
        if quoted {
            text.extend_from_slice(field[start..].trim_ascii_end());
            padded.push(false);
        } else {
            let trimmed = trimmed(field);
            text.extend_from_slice(if keep { field } else { trimmed });
            padded.push(trimmed.len() < field.len());
        }
        if end == rest.len() {
            return Unpadded { text, padded };
        }
        text.push(delimiter);
        rest = &rest[end + 1..];
    }
}

/// The bytes from an opening quote to its closing one, both included; all, if none closes it.
fn quoted_bytes(field: &[u8]) -> usize {
    let mut at = 1;
    while let Some(quote) = field.get(at..).and_then(|rest| rest.iter().position(|&b| b == b'"')) {
        at += quote + 1;
        if field.get(at) != Some(&b'"') {
            return at;
        }
        at += 1;
    }
    field.len()
}

/// A field without blanks at its ends, in Unicode's sense, and without the invisible characters that
/// the placeholders' rule counts as blanks.
fn trimmed(field: &[u8]) -> &[u8] {
    match str::from_utf8(field) {
        Ok(text) => {
            let is_blank = |char: char| char.is_whitespace() || "\u{200b}\u{feff}".contains(char);
            text.trim_matches(is_blank).as_bytes()
        }
        Err(_) => field.trim_ascii(),
    }
}

/// Whether blanks around a text would be taken for padding where it stands in no quotes.
pub(in crate::cli) fn looks_padded(text: &str) -> bool {
    trimmed(text.as_bytes()).len() < text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_blanks_outside_of_quotes_are_padding() {
        for (row, trimmed, kept, padded) in [
            ("a,b", "a,b", "a,b", vec![false, false]),
            (" a,b\t,", "a,b,", " a,b\t,", vec![true, true, false]),
            (" \" a\" ,\"b \"\" ,\"", "\" a\",\"b \"\" ,\"", "\" a\",\"b \"\" ,\"", vec![false; 2]),
            ("\u{a0}a\u{200b}, ", "a,", "\u{a0}a\u{200b}, ", vec![true, true]),
            ("", "", "", vec![false]),
        ] {
            for (keep, text) in [(false, trimmed), (true, kept)] {
                let result = unpadded(row.as_bytes(), b',', keep);
                assert_eq!(String::from_utf8(result.text).expect("UTF-8"), text, "{row:?}");
                assert_eq!(result.padded, padded, "{row:?}");
            }
        }
        let tabbed = unpadded(b"a\t b\t\t", b'\t', false);
        assert_eq!(
            (&*tabbed.text, tabbed.padded),
            (&b"a\tb\t\t"[..], vec![false, true, false, false])
        );
    }
}
