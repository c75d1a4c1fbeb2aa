//! Parses a request once, into keys that are valid by type.

use super::refusal::{Refusal, WhichId};
use aka_core::domain::{Id, Key, Placeholders, Project};
use bytes::Bytes;

/// The rules for new aliases.
#[derive(Clone, Debug)]
pub struct Rules {
    pub placeholders: Placeholders,
    /// How many aliases one canonical id may have.
    pub max_aliases: u64,
}

/// A request to create an alias, as it arrived. Nothing in it is checked yet.
#[derive(Clone, Debug)]
pub struct NewAlias {
    pub project_id: u64,
    pub alias_id: Bytes,
    pub canonical_id: Bytes,
    /// Only say what would happen.
    pub dry_run: bool,
}

/// A request to create an alias, checked.
pub(super) struct Creation {
    pub pair: AliasPair,
    pub dry_run: bool,
}

/// Two different ids of one project. Both are valid, and neither is a placeholder.
pub(super) struct AliasPair {
    pub alias: Key,
    pub canonical: Key,
}

impl Creation {
    /// # Errors
    /// As [`AliasPair::parse`].
    pub fn parse(rules: &Rules, new: NewAlias) -> Result<Self, Refusal> {
        let NewAlias { project_id, alias_id, canonical_id, dry_run } = new;
        Ok(Self { pair: AliasPair::parse(rules, project_id, alias_id, canonical_id)?, dry_run })
    }
}

impl AliasPair {
    /// # Errors
    /// The first fault: of the project, of the alias id, of the canonical id, or of both together.
    pub fn parse(
        rules: &Rules,
        project_id: u64,
        alias_id: Bytes,
        canonical_id: Bytes,
    ) -> Result<Self, Refusal> {
        let parse = |which, bytes| {
            let key = key(project_id, which, bytes)?;
            match rules.placeholders.contains(key.id().as_bytes()) {
                true => Err(Refusal::Placeholder(which)),
                false => Ok(key),
            }
        };
        let alias = parse(WhichId::Alias, alias_id)?;
        let canonical = parse(WhichId::Canonical, canonical_id)?;
        if alias == canonical { Err(Refusal::SelfAlias) } else { Ok(Self { alias, canonical }) }
    }
}

/// A key, in memory of its own: it may outlive the message.
///
/// # Errors
/// [`Refusal::Project`] or [`Refusal::Id`].
pub(super) fn key(project_id: u64, which: WhichId, id: Bytes) -> Result<Key, Refusal> {
    let project = Project::new(project_id).ok_or(Refusal::Project)?;
    let id = Id::new(id).map_err(|fault| Refusal::Id(which, fault))?;
    Ok(Key::new(project, id.detached()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_fault_is_named() {
        let rules = Rules { placeholders: Placeholders::default(), max_aliases: 500 };
        let parse = |project, alias: &'static str, canonical: &'static str| {
            let (alias, canonical) = (Bytes::from(alias), Bytes::from(canonical));
            AliasPair::parse(&rules, project, alias, canonical).map(|_| ())
        };
        let is_id = |refused, which| matches!(refused, Err(Refusal::Id(s, _)) if s == which);
        assert_eq!(parse(0, "", ""), Err(Refusal::Project));
        assert!(is_id(parse(1, "", ""), WhichId::Alias));
        assert_eq!(parse(1, "null", ""), Err(Refusal::Placeholder(WhichId::Alias)));
        assert!(is_id(parse(1, "a", ""), WhichId::Canonical));
        assert_eq!(parse(1, "a", "null"), Err(Refusal::Placeholder(WhichId::Canonical)));
        assert_eq!(parse(1, "a", "a"), Err(Refusal::SelfAlias));
        assert_eq!(parse(1, "a", "b"), Ok(()));
    }
}
