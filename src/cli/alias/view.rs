//! How an alias is shown: a sentence for people, the resource as JSON for programs.

use crate::cli::fault::CliFault;
use crate::cli::json_id::JsonId;
use crate::cli::output::OutputFormat;
use crate::cli::print::{push_json, to_stdout};
use aka_wire::Quoted;
use aka_wire::pb::Alias;
use serde::Serialize;

/// What has just happened to the alias that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Shown,
    Created,
    WouldCreate,
    /// Nothing was written, and a dry run would write nothing.
    Unchanged,
    Updated,
}

/// The alias as JSON, with other results of the call. 64-bit numbers are strings, as in proto3
/// JSON: many JSON parsers know only doubles.
#[derive(Serialize)]
pub(super) struct ShownAlias {
    project_id: String,
    #[serde(flatten)]
    alias_id: JsonId,
    #[serde(flatten)]
    canonical_id: JsonId,
    version: String,
    create_time: Option<String>,
    update_time: Option<String>,
    /// The canonical id that was asked for, if it is itself an alias and was followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    followed_from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consistency_token: Option<String>,
}

impl ShownAlias {
    pub fn of(alias: &Alias) -> Self {
        Self {
            project_id: alias.project_id.to_string(),
            alias_id: JsonId::alias(&alias.alias_id),
            canonical_id: JsonId::canonical(&alias.canonical_id),
            version: alias.version.to_string(),
            create_time: alias.create_time.map(|time| time.to_string()),
            update_time: alias.update_time.map(|time| time.to_string()),
            followed_from: None,
            created: None,
            dry_run: None,
            consistency_token: None,
        }
    }

    /// Notes which canonical id was asked for, to show if another one was stored.
    pub fn asked_for(mut self, canonical_id: &[u8]) -> Self {
        let followed = self.canonical_id.bytes != canonical_id;
        self.followed_from = followed.then(|| String::from_utf8_lossy(canonical_id).into_owned());
        self
    }

    /// Prints this alias alone.
    pub fn print(
        &self,
        change: Change,
        output: OutputFormat,
        show_token: bool,
    ) -> Result<(), CliFault> {
        let mut out = Vec::new();
        self.push(&mut out, change, output)?;
        if show_token && output == OutputFormat::Text {
            let token = self.consistency_token.as_deref().unwrap_or_default();
            out.extend_from_slice(format!("token: {token}\n").as_bytes());
        }
        to_stdout(&out)
    }

    /// Appends a line: what happened, or the JSON.
    pub fn push(
        &self,
        out: &mut Vec<u8>,
        change: Change,
        output: OutputFormat,
    ) -> Result<(), CliFault> {
        if output == OutputFormat::Json {
            return push_json(out, self);
        }
        out.extend_from_slice(self.sentence(change).as_bytes());
        out.push(b'\n');
        Ok(())
    }

    /// Appends a row of a list, in columns with tabs: the ids of a stored alias hold no tab.
    pub fn push_row(&self, out: &mut Vec<u8>, output: OutputFormat) -> Result<(), CliFault> {
        if output == OutputFormat::Json {
            return push_json(out, self);
        }
        let update_time = self.update_time.as_deref().unwrap_or("-");
        out.extend_from_slice(&self.alias_id.bytes);
        out.extend_from_slice(format!("\t{}\t{update_time}\n", self.version).as_bytes());
        Ok(())
    }

    fn sentence(&self, change: Change) -> String {
        let alias = Quoted(&self.alias_id.bytes);
        let canonical = Quoted(&self.canonical_id.bytes);
        let version = &self.version;
        let mut text = match change {
            Change::Shown => format!("{alias} is an alias of {canonical} (version {version}"),
            Change::Created => {
                format!("created: {alias} is now an alias of {canonical} (version {version})")
            }
            Change::WouldCreate => {
                format!("would create: {alias} would be an alias of {canonical}")
            }
            Change::Unchanged => {
                format!("unchanged: {alias} is already an alias of {canonical} (version {version})")
            }
            Change::Updated => {
                format!("updated: {alias} is now an alias of {canonical} (version {version})")
            }
        };
        if change == Change::Shown {
            for (what, time) in [("created", &self.create_time), ("updated", &self.update_time)] {
                if let Some(time) = time {
                    text.push_str(&format!(", {what} {time}"));
                }
            }
            text.push(')');
        }
        if let Some(asked) = &self.followed_from {
            let asked = Quoted(asked.as_bytes());
            text.push_str(&format!("; {asked} is itself an alias and was followed to {canonical}"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alias() -> Alias {
        Alias {
            project_id: 1,
            alias_id: "b1".into(),
            canonical_id: "b3".into(),
            version: u64::MAX,
            create_time: Some(prost_types::Timestamp { seconds: 1_767_225_600, nanos: 5_000_000 }),
            update_time: None,
        }
    }

    #[test]
    fn a_sentence_says_when_the_canonical_id_was_followed() {
        let text = ShownAlias::of(&alias()).asked_for(b"b2").sentence(Change::WouldCreate);
        let wanted = r#"would create: "b1" would be an alias of "b3"; "#.to_owned()
            + r#""b2" is itself an alias and was followed to "b3""#;
        assert_eq!(text, wanted);
        let text = ShownAlias::of(&alias()).asked_for(b"b3").sentence(Change::WouldCreate);
        assert_eq!(text, r#"would create: "b1" would be an alias of "b3""#);
    }

    #[test]
    fn json_is_the_resource_as_proto3_would_write_it() {
        let json = serde_json::to_string(&ShownAlias::of(&alias())).expect("it is JSON");
        let wanted = r#"{"project_id":"1","alias_id":"b1","canonical_id":"b3","#.to_owned()
            + r#""version":"18446744073709551615","create_time":"2026-01-01T00:00:00.005Z","#
            + r#""update_time":null}"#;
        assert_eq!(json, wanted);
    }
}
