//! Which fields of a row are the project, the alias and the canonical id.

use super::csv_fields::CsvHeader;
use super::fields::{self, FieldValue, Fields};
use super::row::{AliasRow, RowFault};

/// How the fields of a row become an alias.
#[derive(Clone, Debug)]
pub(super) struct Mapping {
    /// The fields that may say which event a row is. Without any, each row is an alias.
    pub event_fields: &'static [&'static str],
    pub facts: Vec<Fact>,
    /// The project of all rows.
    pub project: Option<u64>,
    /// The field that names the project. If all rows have one project, it must not contradict.
    pub project_field: Option<String>,
}

/// A kind of row that names an alias. Several names of one field are tried in turn.
#[derive(Clone, Debug)]
pub(super) struct Fact {
    events: &'static [&'static str],
    alias: Vec<String>,
    canonical: Vec<String>,
    /// Whether a row that names one id only, or one id twice, is no mistake: it names no alias.
    if_both: bool,
}

impl Fact {
    /// A fact that events of these names state.
    pub fn of(events: &'static [&'static str], alias: &[&str], canonical: &[&str]) -> Self {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Self { events, alias: owned(alias), canonical: owned(canonical), if_both: false }
    }

    pub fn if_both(self) -> Self {
        Self { if_both: true, ..self }
    }
}

impl Mapping {
    /// The names that aka gives to the fields.
    pub fn of_aka() -> Self {
        Self {
            event_fields: &[],
            facts: vec![Fact::of(&[], &["alias_id"], &["canonical_id"])],
            project: None,
            project_field: Some("project_id".to_owned()),
        }
    }

    /// Whether a field of the row itself is looked at.
    pub fn wants(&self, field: &str) -> bool {
        let is_it =
            |name: &str| name == field || name.split_once('.').is_some_and(|(top, _)| top == field);
        self.event_fields.iter().any(|name| is_it(name))
            || self.project_field.as_deref().is_some_and(is_it)
            || self
                .facts
                .iter()
                .any(|fact| fact.alias.iter().chain(&fact.canonical).any(|name| is_it(name)))
    }

    /// Checks that rows under this header may name aliases.
    ///
    /// # Errors
    /// If a column is missing.
    pub fn check(&self, header: &CsvHeader) -> Result<(), String> {
        let any = |names: &[String]| names.iter().any(|name| header.has(name));
        let needed = self.project_field.as_ref().filter(|_| self.project.is_none());
        let fits = |fact: &Fact| any(&fact.alias) && any(&fact.canonical);
        let missing = match needed.filter(|name| !header.has(name)) {
            Some(name) => Some(name),
            None if self.facts.iter().any(fits) => None,
            None => self.facts.first().map(|fact| {
                let names = if any(&fact.alias) { &fact.canonical } else { &fact.alias };
                &names[0]
            }),
        };
        missing.map_or(Ok(()), |name| Err(header.lacks(name)))
    }

    /// The alias that a row names; `None` if it is an event that names none.
    ///
    /// # Errors
    /// If it should name one.
    pub fn alias(&self, row: &impl Fields) -> Result<Option<AliasRow>, RowFault> {
        if self.event_fields.is_empty() {
            let Some(fact) = self.facts.first() else { return Ok(None) };
            let alias_id = needed(row, &fact.alias)?;
            let canonical_id = needed(row, &fact.canonical)?;
            return Ok(Some(AliasRow {
                project_id: self.project_of(row)?,
                alias_id,
                canonical_id,
            }));
        }
        let Some((fact, is_event)) = self.fact(row)? else { return Ok(None) };
        let alias = first(row, &fact.alias)?.filter(|id| !id.is_empty());
        let canonical = first(row, &fact.canonical)?.filter(|id| !id.is_empty());
        match (alias, canonical) {
            (Some(alias), Some(canonical)) if fact.if_both && alias == canonical => Ok(None),
            (Some(alias_id), Some(canonical_id)) => {
                Ok(Some(AliasRow { project_id: self.project_of(row)?, alias_id, canonical_id }))
            }
            _ if fact.if_both && is_event => Ok(None),
            (None, _) => Err(lacks(&fact.alias)),
            (_, None) => Err(lacks(&fact.canonical)),
        }
    }

    /// What a row states, and whether it says so itself. A row that does not name its event states
    /// what it has both ids of.
    fn fact(&self, row: &impl Fields) -> Result<Option<(&Fact, bool)>, RowFault> {
        for field in self.event_fields {
            if let Some(FieldValue::Text(event)) = row.get(field)?
                && !event.is_empty()
            {
                let fact = self.facts.iter().find(|fact| fact.events.contains(&event.as_str()));
                return Ok(fact.map(|fact| (fact, true)));
            }
        }
        for fact in &self.facts {
            let has = |names: &[String]| -> Result<bool, RowFault> {
                Ok(first(row, names)?.is_some_and(|id| !id.is_empty()))
            };
            if has(&fact.alias)? && has(&fact.canonical)? {
                return Ok(Some((fact, false)));
            }
        }
        let name = self.event_fields.first().copied().unwrap_or_default();
        Err(RowFault::malformed(format!(
            "the row has no field {name}, and not both ids of an event that names an alias"
        )))
    }

    fn project_of(&self, row: &impl Fields) -> Result<u64, RowFault> {
        let field = self.project_field.as_deref();
        let named = match field {
            Some(name) => {
                let value = row.get(name)?;
                let is_there = |value: &FieldValue| *value != FieldValue::Text(String::new());
                value.filter(is_there).map(|value| fields::project(name, &value)).transpose()?
            }
            None => None,
        };
        let name = field.unwrap_or("project_id");
        match (self.project, named) {
            (Some(ours), Some(named)) if ours != named => Err(RowFault {
                reason: "OTHER_PROJECT",
                message: format!("{name} is {named}, and --project says {ours}"),
            }),
            (Some(project), _) | (None, Some(project)) => Ok(project),
            (None, None) => Err(RowFault::malformed(format!("there is no {name}"))),
        }
    }
}

/// The first of these fields that the row has.
fn first(row: &impl Fields, names: &[String]) -> Result<Option<String>, RowFault> {
    for name in names {
        if let Some(value) = row.get_id(name)? {
            return fields::id(name, value).map(Some);
        }
    }
    Ok(None)
}

fn needed(row: &impl Fields, names: &[String]) -> Result<String, RowFault> {
    first(row, names)?.ok_or_else(|| lacks(names))
}

fn lacks(names: &[String]) -> RowFault {
    RowFault::malformed(format!("there is no {}", names.join(" or ")))
}
