//! Placeholders: ids that broken clients send in place of an id, such as `null`.
//!
//! They cannot be aliased: an alias of `null` would merge strangers (`docs/design.md`, section 2).

use std::collections::HashSet;

/// The placeholders of the default configuration.
///
/// The list was collected from what analytics vendors document about broken SDKs and templates.
pub const DEFAULT_PLACEHOLDERS: [&str; 33] = [
    "anonymous",
    "anonymous_id",
    "anon",
    "guest",
    "null",
    "nil",
    "none",
    "undefined",
    "unknown",
    "nan",
    "n/a",
    "na",
    "true",
    "false",
    "0",
    "-1",
    "id",
    "user_id",
    "userid",
    "distinct_id",
    "distinctid",
    "$distinct_id",
    "alias",
    "email",
    "not_authenticated",
    "unidentified",
    "[object object]",
    "[]",
    "{}",
    "00000000-0000-0000-0000-000000000000",
    "00000000000000000000000000000000",
    "(null)",
    "<null>",
];

/// A set of placeholders. Ids are compared without regard to ASCII case, also inside one pair of
/// quotes.
#[derive(Clone, Debug)]
pub struct Placeholders {
    lowercase: HashSet<Box<[u8]>>,
    longest: usize,
    /// Whether a placeholder has this length. Nearly every id is settled by this, without a hash.
    lengths: [bool; 256],
}

impl Placeholders {
    /// The placeholders of this list.
    pub fn new<S: AsRef<str>>(list: impl IntoIterator<Item = S>) -> Self {
        let lowercase: HashSet<Box<[u8]>> = list
            .into_iter()
            .map(|entry| entry.as_ref().as_bytes().to_ascii_lowercase().into_boxed_slice())
            .collect();
        let mut lengths = [false; 256];
        for entry in &lowercase {
            if let Some(seen) = lengths.get_mut(entry.len()) {
                *seen = true;
            }
        }
        let longest = lowercase.iter().map(|entry| entry.len()).max().unwrap_or(0);
        Self { lowercase, longest, lengths }
    }

    /// The list, sorted.
    pub fn list(&self) -> impl Iterator<Item = String> {
        let mut list: Vec<_> =
            self.lowercase.iter().map(|id| String::from_utf8_lossy(id).into_owned()).collect();
        list.sort_unstable();
        list.into_iter()
    }

    /// Whether the id is a placeholder.
    #[inline]
    pub fn contains(&self, id: &[u8]) -> bool {
        self.contains_bare(id) || unquoted(id).is_some_and(|inner| self.contains_bare(inner))
    }

    #[inline]
    fn contains_bare(&self, id: &[u8]) -> bool {
        id.len() <= self.longest
            && self.lengths[id.len().min(255)]
            && self.lowercase.contains(id.to_ascii_lowercase().as_slice())
    }
}

impl Default for Placeholders {
    fn default() -> Self {
        Self::new(DEFAULT_PLACEHOLDERS)
    }
}

/// The text between one pair of quotes.
#[inline]
fn unquoted(id: &[u8]) -> Option<&[u8]> {
    match id {
        [b'"', inner @ .., b'"'] | [b'\'', inner @ .., b'\''] => Some(inner),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_ones_in_any_case_and_quotes() {
        let placeholders = Placeholders::default();
        for id in ["anonymous", "NULL", "Undefined", "\"null\"", "'NaN'", "[object Object]"] {
            assert!(placeholders.contains(id.as_bytes()), "{id}");
        }
        for id in ["bob", "null ", "\"null", "\"null'", "\"\"null\"\"", "", "\"\"", "00000000"] {
            assert!(!placeholders.contains(id.as_bytes()), "{id}");
        }
    }

    #[test]
    fn the_list_is_the_callers() {
        let placeholders = Placeholders::new(["Nobody"]);
        assert!(placeholders.contains(b"nobody"));
        assert!(!placeholders.contains(b"null"));
        assert!(!Placeholders::new(Vec::<String>::new()).contains(b"null"));
    }
}
