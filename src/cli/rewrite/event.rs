//! What an event says: ids to look up, or a fact about two ids.
//!
//! The directions of facts are those of the programs that send the events, and easy to get wrong: a
//! test pins each.

use super::fields::{RawField, RawFields, id_of, text_of};
use bytes::Bytes;
use clap::ValueEnum;
use std::collections::HashMap;
use std::ops::Range;

/// Whose events they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EventFormat {
    /// What each event looks like
    Auto,
    /// properties.distinct_id, and $distinct_id of profiles
    Mixpanel,
    /// userId and anonymousId
    Segment,
    /// distinct_id
    Posthog,
    /// The fields that --fields names
    Fields,
}

/// Whose ids they are.
pub(super) enum Projects {
    One(u64),
    /// By the token in each event.
    ByToken(HashMap<String, u64>),
}

/// How events are read.
pub(super) struct EventReader {
    pub format: EventFormat,
    /// For [`EventFormat::Fields`]; each may be `outer.inner`.
    pub fields: Vec<String>,
    pub projects: Projects,
}

/// An id to look up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FoundId {
    pub id: Bytes,
    /// The place of its value in the event.
    pub at: Range<usize>,
    pub field: String,
}

/// What an event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Ids {
        project: u64,
        ids: Vec<FoundId>,
    },
    /// An identity event: `alias` stands for `canonical`.
    Fact {
        project: u64,
        alias: Bytes,
        canonical: Bytes,
    },
    /// An identity event that names no two ids.
    Identity,
    /// An event without ids.
    NoIds,
    /// It cannot be read.
    Broken(String),
}

/// The field that marks an event whose ids could not be looked up.
pub(super) const MARK: &str = "$aka_unresolved";

/// The fields of an event that are looked at, whatever its format.
const OUTER: &[&str] = &[
    "event",
    "type",
    "properties",
    "distinct_id",
    "$distinct_id",
    "$token",
    "userId",
    "anonymousId",
    "previousId",
    "writeKey",
    "api_key",
    "token",
];
const PROPERTIES: &[&str] =
    &["distinct_id", "token", "alias", "$anon_id", "$identified_id", "$anon_distinct_id"];
const SEGMENT_TYPES: [&str; 6] = ["track", "identify", "alias", "page", "screen", "group"];

/// The looked-at fields of an event.
struct Parts<'a> {
    outer: RawFields<'a>,
    properties: Option<RawFields<'a>>,
    /// Where the properties begin.
    offset: usize,
}

impl<'a> Parts<'a> {
    fn parse(text: &'a [u8]) -> Result<Self, String> {
        let outer = RawFields::parse(text, OUTER)?;
        let (mut properties, mut offset) = (None, 0);
        if let Some(field) = outer.get("properties").filter(|field| field.raw.starts_with('{')) {
            offset = field.at.start;
            let parsed = RawFields::parse(field.raw.as_bytes(), PROPERTIES);
            properties = Some(parsed.map_err(|why| format!("properties: {why}"))?);
        }
        Ok(Self { outer, properties, offset })
    }

    fn outer(&self, name: &str) -> Option<RawField<'a>> {
        self.outer.get(name).cloned()
    }

    /// A property, with its place in the event.
    fn property(&self, name: &str) -> Option<RawField<'a>> {
        let mut field = self.properties.as_ref()?.get(name).cloned()?;
        field.at = field.at.start + self.offset..field.at.end + self.offset;
        Some(field)
    }

    fn text(&self, name: &str) -> Option<String> {
        self.outer(name).as_ref().and_then(text_of)
    }

    /// The format that an event without a said one seems to have.
    fn format(&self) -> Option<EventFormat> {
        let kind = self.text("type");
        let is_segment = ["userId", "anonymousId", "previousId"]
            .iter()
            .any(|name| self.outer.get(name).is_some());
        if is_segment && kind.is_some_and(|kind| SEGMENT_TYPES.contains(&&*kind)) {
            return Some(EventFormat::Segment);
        }
        let event = self.text("event");
        if self.outer.get("$distinct_id").is_some() {
            return Some(EventFormat::Mixpanel);
        }
        let event = event?;
        let of_mixpanel = ["distinct_id", "$identified_id", "$anon_id"];
        if self.outer.get("distinct_id").is_some() || event == "$merge_dangerously" {
            Some(EventFormat::Posthog)
        } else if of_mixpanel.iter().any(|name| self.property(name).is_some()) {
            Some(EventFormat::Mixpanel)
        } else {
            None
        }
    }

    fn token(&self) -> Option<String> {
        let outer = ["writeKey", "api_key", "$token", "token"];
        let outer = outer.iter().find_map(|name| self.text(name));
        outer.or_else(|| text_of(&self.property("token")?))
    }
}

impl EventReader {
    /// What an event says.
    pub fn read(&self, text: &[u8]) -> Meaning {
        self.parse(text).unwrap_or_else(Meaning::Broken)
    }

    fn parse(&self, text: &[u8]) -> Result<Meaning, String> {
        let parts = Parts::parse(text)?;
        let format = match self.format {
            EventFormat::Auto => match parts.format() {
                Some(format) => format,
                None => return Ok(Meaning::NoIds),
            },
            format => format,
        };
        let found = match format {
            EventFormat::Fields => self.named(text)?,
            format => {
                if let Some(fact) = fact(&parts, format) {
                    return self.fact(&parts, fact);
                }
                ids_of(&parts, format)
            }
        };
        let mut ids = Vec::new();
        for (field, name) in found {
            if let Some(id) = id_of(&field)?.filter(|id| !id.is_empty()) {
                ids.push(FoundId { id: id.into(), at: field.at, field: name });
            }
        }
        if ids.is_empty() {
            return Ok(Meaning::NoIds);
        }
        Ok(Meaning::Ids { project: self.project(&parts)?, ids })
    }

    fn fact(
        &self,
        parts: &Parts<'_>,
        [alias, canonical]: FactFields<'_>,
    ) -> Result<Meaning, String> {
        let id = |field: Option<RawField<'_>>| {
            let id = field.as_ref().map(id_of).transpose();
            id.map(|id| id.flatten().filter(|id| !id.is_empty()).map(Bytes::from))
        };
        match (id(alias)?, id(canonical)?) {
            (Some(alias), Some(canonical)) if alias != canonical => {
                Ok(Meaning::Fact { project: self.project(parts)?, alias, canonical })
            }
            _ => Ok(Meaning::Identity),
        }
    }

    /// The fields that the command line names.
    fn named<'a>(&'a self, text: &'a [u8]) -> Result<Vec<(RawField<'a>, String)>, String> {
        let mut found = Vec::new();
        for name in &self.fields {
            let (outer, inner) =
                name.split_once('.').map_or((&**name, None), |(a, b)| (a, Some(b)));
            let outer = one_field(text, outer)?;
            let field = match (outer, inner) {
                (Some((raw, at)), Some(inner)) if raw.starts_with('{') => {
                    one_field(raw.as_bytes(), inner)?
                        .map(|(raw, inner)| (raw, inner.start + at.start..inner.end + at.start))
                }
                (_, Some(_)) => None,
                (field, None) => field,
            };
            let named = field.map(|(raw, at)| (RawField { name, raw, at }, name.clone()));
            found.extend(named);
        }
        Ok(found)
    }

    fn project(&self, parts: &Parts<'_>) -> Result<u64, String> {
        match &self.projects {
            Projects::One(project) => Ok(*project),
            Projects::ByToken(projects) => {
                let token = parts.token().ok_or("the event names no token of a project")?;
                projects.get(&token).copied().ok_or_else(|| "its token is of no project".to_owned())
            }
        }
    }
}

/// One field of an object, with its place.
fn one_field<'a>(text: &'a [u8], name: &'a str) -> Result<Option<(&'a str, Range<usize>)>, String> {
    let found = RawFields::parse(text, &[name])?;
    Ok(found.get(name).map(|field| (field.raw, field.at.clone())))
}

/// The ids of an event that is no identity event.
fn ids_of<'a>(parts: &Parts<'a>, format: EventFormat) -> Vec<(RawField<'a>, String)> {
    let outer = |name: &str| parts.outer(name);
    let fields = match format {
        EventFormat::Mixpanel => vec![parts.property("distinct_id"), outer("$distinct_id")],
        EventFormat::Segment => vec![outer("userId"), outer("anonymousId")],
        EventFormat::Posthog => {
            vec![outer("distinct_id").or_else(|| parts.property("distinct_id"))]
        }
        EventFormat::Auto | EventFormat::Fields => Vec::new(),
    };
    fields.into_iter().flatten().map(|field| (field.clone(), field.name.to_owned())).collect()
}

/// The alias and the canonical id of a fact, if they are there.
type FactFields<'a> = [Option<RawField<'a>>; 2];

/// The fields of an identity event: what stands for what. `None` if it is none.
fn fact<'a>(parts: &Parts<'a>, format: EventFormat) -> Option<FactFields<'a>> {
    let name = match format {
        EventFormat::Segment => parts.text("type"),
        _ => parts.text("event"),
    }?;
    let (outer, property) = (|name| parts.outer(name), |name| parts.property(name));
    Some(match (format, &*name) {
        (EventFormat::Mixpanel, "$create_alias") => [property("alias"), property("distinct_id")],
        (EventFormat::Mixpanel, "$identify") => [property("$anon_id"), property("$identified_id")],
        // Both are canonical for others, perhaps: this waits for merging.
        (EventFormat::Mixpanel, "$merge") => [None, None],
        (EventFormat::Segment, "alias") => [outer("previousId"), outer("userId")],
        (EventFormat::Segment, "identify") => [outer("anonymousId"), outer("userId")],
        (EventFormat::Posthog, "$identify") => {
            let id = outer("distinct_id").or_else(|| property("distinct_id"));
            [property("$anon_distinct_id"), id]
        }
        (EventFormat::Posthog, "$create_alias" | "$merge_dangerously") => {
            [property("alias"), outer("distinct_id").or_else(|| property("distinct_id"))]
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(format: EventFormat, text: &str) -> Meaning {
        let fields = vec!["user".to_owned(), "who.id".to_owned()];
        EventReader { format, fields, projects: Projects::One(1) }.read(text.as_bytes())
    }

    #[track_caller]
    fn assert_fact(format: EventFormat, text: &str, alias: &'static str, canonical: &'static str) {
        let fact = Meaning::Fact { project: 1, alias: alias.into(), canonical: canonical.into() };
        assert_eq!(read(format, text), fact);
        assert_eq!(read(EventFormat::Auto, text), fact, "by its looks");
    }

    #[test]
    fn the_direction_of_each_fact_is_pinned() {
        use EventFormat::{Mixpanel, Posthog, Segment};
        assert_fact(
            Mixpanel,
            r#"{"event":"$create_alias","properties":{"distinct_id":"old","alias":"new"}}"#,
            "new",
            "old",
        );
        assert_fact(
            Mixpanel,
            r#"{"event":"$identify","properties":{"$identified_id":"user","$anon_id":"anon","distinct_id":"x"}}"#,
            "anon",
            "user",
        );
        assert_fact(
            Segment,
            r#"{"type":"alias","previousId":"anon","userId":"user"}"#,
            "anon",
            "user",
        );
        assert_fact(
            Segment,
            r#"{"type":"identify","userId":"user","anonymousId":"anon"}"#,
            "anon",
            "user",
        );
        assert_fact(
            Posthog,
            r#"{"event":"$identify","distinct_id":"user","properties":{"$anon_distinct_id":"anon"}}"#,
            "anon",
            "user",
        );
        for event in ["$create_alias", "$merge_dangerously"] {
            let text = format!(
                r#"{{"event":"{event}","distinct_id":"user","properties":{{"alias":"other"}}}}"#
            );
            assert_fact(Posthog, &text, "other", "user");
        }
        let merge =
            r#"{"event":"$merge","properties":{"$distinct_ids":["a","b"],"distinct_id":"a"}}"#;
        assert_eq!(read(Mixpanel, merge), Meaning::Identity);
        let alone = r#"{"type":"identify","userId":"user"}"#;
        assert_eq!(read(Segment, alone), Meaning::Identity);
    }

    #[test]
    fn the_ids_of_events_are_found() {
        for (format, text, expected) in [
            (EventFormat::Auto, r#"{"event":"e","properties":{"distinct_id":"m"}}"#, &["m"][..]),
            (EventFormat::Auto, r#"{"$distinct_id":"m","$set":{}}"#, &["m"]),
            (EventFormat::Auto, r#"{"type":"track","userId":7,"anonymousId":"s"}"#, &["7", "s"]),
            (EventFormat::Auto, r#"{"event":"e","distinct_id":"p","properties":{}}"#, &["p"]),
            (EventFormat::Fields, r#"{"user":"f","who":{"id":"g"}}"#, &["f", "g"]),
        ] {
            let Meaning::Ids { ids, .. } = read(format, text) else { panic!("{text}") };
            let found: Vec<&[u8]> = ids.iter().map(|found| &found.id[..]).collect();
            assert_eq!(found, expected.iter().map(|id| id.as_bytes()).collect::<Vec<_>>());
            for found in ids {
                let written = text[found.at].trim_matches('"');
                assert_eq!(written.as_bytes(), found.id);
            }
        }
        for text in [r#"{"a":1}"#, r#"{"type":"track","userId":null,"anonymousId":""}"#] {
            assert_eq!(read(EventFormat::Auto, text), Meaning::NoIds, "{text}");
        }
        let broken = [r#"{"type":"track","userId":1.5}"#, "{", r#"{"type":"a","type":"b"}"#];
        for text in broken {
            assert!(matches!(read(EventFormat::Segment, text), Meaning::Broken(_)), "{text}");
        }
    }
}
