//! A model of the service: the table of `docs/design.md`, section 2, in memory and in the simplest
//! way.

use std::collections::HashMap;

/// The placeholders that the generator uses; the server has a longer list.
const PLACEHOLDERS: [&str; 6] = [
    "anonymous",
    "null",
    "undefined",
    "[object object]",
    "not_authenticated",
    "00000000-0000-0000-0000-000000000000",
];

/// The outcome of a request to create an alias.
#[derive(Debug, PartialEq)]
pub enum Made {
    /// An alias of this id now.
    Created(String),
    /// It was one already.
    Unchanged(String),
    Refused(String),
}

impl Made {
    pub fn word(&self) -> String {
        match self {
            Self::Created(_) => "created".to_owned(),
            Self::Unchanged(_) => "unchanged".to_owned(),
            Self::Refused(reason) => reason.clone(),
        }
    }
}

/// All aliases of one project.
pub struct Model {
    canonical_of: HashMap<String, String>,
    max_aliases: u64,
}

impl Model {
    pub fn new(max_aliases: u64) -> Self {
        Self { canonical_of: HashMap::new(), max_aliases }
    }

    /// The canonical id of an id, or the id itself.
    pub fn resolve<'a>(&'a self, id: &'a str) -> &'a str {
        self.canonical_of.get(id).map_or(id, String::as_str)
    }

    pub fn create(&mut self, alias: &str, canonical: &str) -> Made {
        let refused = |reason: &str| Made::Refused(reason.to_owned());
        if !is_valid(alias) || !is_valid(canonical) {
            return refused("INVALID_ID");
        }
        if is_placeholder(alias) || is_placeholder(canonical) {
            return refused("PLACEHOLDER_ID");
        }
        let end = self.resolve(canonical).to_owned();
        if alias == canonical || alias == end {
            return refused("SELF_ALIAS");
        }
        match self.canonical_of.get(alias) {
            Some(current) if *current == end => return Made::Unchanged(end),
            Some(_) => return refused("ALIAS_TAKEN"),
            None => {}
        }
        if self.count(alias) > 0 {
            return refused("ALIAS_IS_CANONICAL");
        }
        if self.count(&end) >= self.max_aliases {
            return refused("TOO_MANY_ALIASES");
        }
        self.canonical_of.insert(alias.to_owned(), end.clone());
        Made::Created(end)
    }

    /// How many aliases an id has.
    fn count(&self, canonical: &str) -> u64 {
        self.canonical_of.values().filter(|value| *value == canonical).count() as u64
    }
}

fn is_valid(id: &str) -> bool {
    (1..=255).contains(&id.len()) && !id.chars().any(char::is_control)
}

fn is_placeholder(id: &str) -> bool {
    let id = id.to_ascii_lowercase();
    let quoted = |quote| id.strip_prefix(quote).and_then(|id| id.strip_suffix(quote));
    let bare = quoted('"').or_else(|| quoted('\'')).unwrap_or(&id);
    PLACEHOLDERS.contains(&bare)
}
