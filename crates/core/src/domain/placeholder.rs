//! Placeholders: ids that broken clients send in place of an id, such as `null`.
//!
//! They cannot be aliased: an alias of `null` would merge strangers (`docs/design.md`, section 2).
//! Most are in a list, which is configurable. Three rules always hold: blanks and quotes around an
//! id do not count; an id of nothing but blanks and quotes is a placeholder; so is a template that
//! was not filled in.

use super::id::MAX_ID_BYTES;
use super::unfilled::{is_unfilled, may_end};
use std::collections::HashSet;

/// The placeholders of the default configuration: the union of what analytics vendors refuse or
/// advise to block, and of what languages print for "no value".
///
pub const DEFAULT_PLACEHOLDERS: [&str; 65] = [
    // Nobody in particular.
    "anonymous",
    "anonymous_id",
    "anonymousid",
    "anon",
    "anon_id",
    "guest",
    "not_authenticated",
    "unauthenticated",
    "unidentified",
    // No value.
    "null",
    "(null)",
    "<null>",
    "\\n",
    "nil",
    "(nil)",
    "<nil>",
    "optional(nil)",
    "none",
    "(none)",
    "<none>",
    "undefined",
    "(undefined)",
    "<undefined>",
    "unknown",
    "(unknown)",
    "<unknown>",
    "unset",
    "(unset)",
    "<unset>",
    "not set",
    "not_set",
    "(not set)",
    "<not set>",
    "void",
    "empty",
    "(empty)",
    "<empty>",
    "nan",
    "n/a",
    "na",
    "#n/a",
    "true",
    "false",
    "0",
    "-1",
    "[]",
    // The name of the field.
    "id",
    "user_id",
    "userid",
    "$user_id",
    "<user_id>",
    "{user_id}",
    "distinct_id",
    "distinctid",
    "$distinct_id",
    "device_id",
    "deviceid",
    "alias",
    "email",
    // Values that many devices share: a UUID or an IMEI of zeros, a build number, an Android id, a
    // hidden MAC address.
    "00000000-0000-0000-0000-000000000000",
    "00000000000000000000000000000000",
    "000000000000000",
    "lmy47d",
    "9774d56d682e549c",
    "02:00:00:00:00:00",
];

/// A set of placeholders. Ids are compared without regard to ASCII case, and to blanks and quotes
/// around them.
#[derive(Clone, Debug)]
pub struct Placeholders {
    /// As they are shown: in lower case.
    shown: Vec<String>,
    /// As they are compared.
    bare: HashSet<Box<[u8]>>,
    /// By length: a bit for the first byte of each placeholder. Nearly every id is settled by this,
    /// without a hash.
    starts: [u32; MAX_ID_BYTES + 1],
}

impl Placeholders {
    /// The placeholders of this list.
    pub fn new<S: AsRef<str>>(list: impl IntoIterator<Item = S>) -> Self {
        let mut shown: Vec<_> =
            list.into_iter().map(|entry| entry.as_ref().to_ascii_lowercase()).collect();
        shown.sort_unstable();
        shown.dedup();
        let mut starts = [0; MAX_ID_BYTES + 1];
        let mut bare = HashSet::new();
        for entry in shown.iter().map(|entry| self::bare(entry)) {
            // The rules cover the empty text, and no id is longer than this.
            if entry.is_empty() || entry.len() > MAX_ID_BYTES {
                continue;
            }
            starts[entry.len()] |= start_bit(entry.as_bytes());
            bare.insert(entry.as_bytes().into());
        }
        Self { shown, bare, starts }
    }

    /// The list, sorted.
    pub fn list(&self) -> impl Iterator<Item = String> {
        self.shown.iter().cloned()
    }

    /// Whether the id, which is valid, is a placeholder.
    #[inline]
    pub fn contains(&self, id: &[u8]) -> bool {
        let [first, .., last] = id else { return self.contains_any(id) };
        match EDGES[usize::from(*first)] & FIRST != 0 || EDGES[usize::from(*last)] & LAST != 0 {
            true => self.contains_any(id),
            false => self.contains_bare(id),
        }
    }

    /// [`contains`](Self::contains) for an id that may have blanks or quotes around it, or match a
    /// rule.
    #[cold]
    fn contains_any(&self, id: &[u8]) -> bool {
        // A valid id is UTF-8, and is not empty.
        let Some(text) = std::str::from_utf8(id).ok().filter(|text| !text.is_empty()) else {
            return false;
        };
        let text = bare(text);
        text.is_empty() || self.contains_bare(text.as_bytes()) || is_unfilled(text)
    }

    #[inline]
    fn contains_bare(&self, id: &[u8]) -> bool {
        if self.starts.get(id.len()).is_none_or(|starts| starts & start_bit(id) == 0) {
            return false;
        }
        let mut buffer = [0; MAX_ID_BYTES];
        let Some(lowercase) = buffer.get_mut(..id.len()) else { return false };
        lowercase.copy_from_slice(id);
        lowercase.make_ascii_lowercase();
        self.bare.contains(&*lowercase)
    }
}

impl Default for Placeholders {
    fn default() -> Self {
        Self::new(DEFAULT_PLACEHOLDERS)
    }
}

/// The bit of a text's first byte. Lower and upper case have the same.
#[inline]
fn start_bit(text: &[u8]) -> u32 {
    text.first().map_or(0, |first| 1 << (first & 31))
}

const FIRST: u8 = 1;
const LAST: u8 = 2;

/// The bytes that an id must begin or end with to need [`Placeholders::contains_any`].
static EDGES: [u8; 256] = {
    let mut edges = [0; 256];
    let mut byte = 0;
    while byte < edges.len() {
        let (mut edge, it) = (0, byte as u8);
        if matches!(it, b' ' | b'"' | b'\'') {
            edge = FIRST | LAST;
        }
        // The first bytes of Unicode's blanks, and what all of them end with.
        if matches!(it, 0xc2 | 0xe1 | 0xe2 | 0xe3 | 0xef | b'%') {
            edge |= FIRST;
        }
        if it >= 0x80 || may_end(it) {
            edge |= LAST;
        }
        edges[byte] = edge;
        byte += 1;
    }
    edges
};

/// The text without blanks and pairs of quotes around it.
fn bare(text: &str) -> &str {
    let blank = |char: char| char.is_whitespace() || matches!(char, '\u{200b}' | '\u{feff}');
    let mut text = text.trim_matches(blank);
    while let Some(inner) = unquoted(text) {
        text = inner.trim_matches(blank);
    }
    text
}

/// The text between one pair of quotes.
fn unquoted(text: &str) -> Option<&str> {
    let within = |quote| text.strip_prefix(quote)?.strip_suffix(quote);
    within('"').or_else(|| within('\''))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_ones_in_any_case_quotes_and_blanks() {
        let placeholders = Placeholders::default();
        for entry in DEFAULT_PLACEHOLDERS {
            for id in [
                entry.to_owned(),
                entry.to_ascii_uppercase(),
                format!("\"{entry}\""),
                format!("'{entry}'"),
                format!("{entry} "),
                format!("\u{a0}{entry}"),
                format!("\u{200b}' {entry}\u{3000}'\u{feff}"),
            ] {
                assert!(placeholders.contains(id.as_bytes()), "{id:?}");
            }
        }
        for id in ["bob", "\"null", "\"null'", "nul", "nulls", "", "'", "\"", "n ull", "bob "] {
            assert!(!placeholders.contains(id.as_bytes()), "{id:?}");
        }
    }

    #[test]
    fn blanks_and_quotes_alone_are_no_id() {
        // Every blank of Unicode, whatever its first byte is.
        let blank = |char: &char| char.is_whitespace() || matches!(char, '\u{200b}' | '\u{feff}');
        let none = Placeholders::new(Vec::<String>::new());
        let null = Placeholders::new(["null"]);
        for char in ('\u{20}'..=char::MAX).filter(blank).filter(|char| !char.is_control()) {
            for id in [format!("{char}"), format!("{char}{char}"), format!("'{char}'")] {
                assert!(none.contains(id.as_bytes()), "{id:?}");
            }
            for id in [format!("{char}null"), format!("null{char}"), format!("\"{char}null\"")] {
                assert!(null.contains(id.as_bytes()), "{id:?}");
                assert!(!none.contains(id.as_bytes()), "{id:?}");
            }
        }
        for id in ["''", "\"\"", "' '", "\"''\"", "'\"\u{a0}\"' "] {
            assert!(none.contains(id.as_bytes()), "{id:?}");
        }
    }

    #[test]
    fn only_known_zeros_are_placeholders() {
        let placeholders = Placeholders::default();
        for id in ["0", "\"0\"", "00000000-0000-0000-0000-000000000000"] {
            assert!(placeholders.contains(id.as_bytes()), "{id:?}");
        }
        for id in ["00", "0-0", "00000000", "01", "00000000-0000-0000-0000-000000000001", "-2"] {
            assert!(!placeholders.contains(id.as_bytes()), "{id:?}");
        }
    }

    #[test]
    fn templates_are_no_ids_whatever_the_list_is() {
        let none = Placeholders::new(Vec::<String>::new());
        for id in ["{{user_id}}", "' ${id} '", "<%= id %>", "[object Object]", "%s"] {
            assert!(none.contains(id.as_bytes()), "{id:?}");
        }
    }

    #[test]
    fn the_list_is_the_callers() {
        let placeholders = Placeholders::new(["Nobody", " 'quoted' "]);
        assert!(placeholders.contains(b"nobody") && placeholders.contains(b"Quoted"));
        assert!(!placeholders.contains(b"null"));
        assert!(placeholders.list().eq([" 'quoted' ", "nobody"]));
        let long = "x".repeat(256);
        assert!(!Placeholders::new([&long]).contains(long.as_bytes()));
    }
}
