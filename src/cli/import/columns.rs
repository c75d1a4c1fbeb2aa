//! The options that say what the rows of a file mean.

use super::blanks::Blanks;
use super::mapping::{Fact, Mapping};
use super::preset::Preset;
use crate::cli::fault::CliFault;
use clap::Args;

/// What the rows mean.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "What rows mean")]
pub struct ColumnArgs {
    /// The byte between the fields of CSV: one character, or the word tab
    /// [default: a tab if the file's name ends in .tsv, else a comma]
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter)]
    pub delimiter: Option<u8>,

    /// The names that the file has for aka's fields, as project_id=team,alias_id=old,canonical_id=new
    ///
    /// A name OUTER.INNER is also the field INNER of the JSON object in the field OUTER. A pair whose
    /// name has a comma in it stands in double quotes.
    #[arg(long, value_name = "FIELD=NAME,…")]
    columns: Vec<String>,

    /// The project of all rows; rows that name another one are refused
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=i64::MAX as u64))]
    project: Option<u64>,

    /// The rows are events of another program; events that name no alias are passed over
    #[arg(long, value_enum)]
    preset: Option<Preset>,

    /// What blanks around an id mean that stands in CSV without quotes
    #[arg(long, value_enum, default_value_t)]
    pub blanks: Blanks,
}

impl ColumnArgs {
    /// # Errors
    /// If the options contradict each other.
    pub(super) fn mapping(&self) -> Result<Mapping, CliFault> {
        let mut mapping = Mapping::of_aka();
        let (mut alias, mut canonical, mut project) = (None, None, None);
        for list in &self.columns {
            for (field, name) in pairs(list)? {
                let place = match field.as_str() {
                    "alias_id" => &mut alias,
                    "canonical_id" => &mut canonical,
                    "project_id" => &mut project,
                    _ => {
                        return Err(CliFault::Usage(format!(
                            "--columns: {field:?} is none of project_id, alias_id, canonical_id"
                        )));
                    }
                };
                if place.replace(name).is_some() {
                    return Err(CliFault::Usage(format!("--columns names {field} twice")));
                }
            }
        }
        if self.project.is_some() && project.is_some() {
            let message = "say either --project or --columns project_id=…";
            return Err(CliFault::Usage(message.to_owned()));
        }
        if let Some(preset) = self.preset {
            if alias.is_some() || canonical.is_some() {
                let message = "a --preset says which fields the ids are: --columns may only name \
                               project_id beside it";
                return Err(CliFault::Usage(message.to_owned()));
            }
            if self.project.is_none() && project.is_none() {
                let message = "the events of a --preset name no project of aka: say --project N, or \
                               --columns project_id=NAME";
                return Err(CliFault::Usage(message.to_owned()));
            }
            mapping.event_fields = preset.event_fields();
            mapping.facts = preset.facts();
            // An event's own project_id is not aka's.
            mapping.project_field = project;
        } else {
            let alias = alias.as_deref().unwrap_or("alias_id");
            let canonical = canonical.as_deref().unwrap_or("canonical_id");
            mapping.facts = vec![Fact::of(&[], &[alias], &[canonical])];
            mapping.project_field = project.or(mapping.project_field);
        }
        mapping.project = self.project;
        Ok(mapping)
    }
}

/// The pairs of a list, which is written as a row of CSV.
fn pairs(list: &str) -> Result<Vec<(String, String)>, CliFault> {
    let mut record = csv::StringRecord::new();
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(list.as_bytes());
    let read = reader.read_record(&mut record);
    let pair = |part: &str| -> Option<(String, String)> {
        let (field, name) = part.split_once('=')?;
        let (field, name) = (field.trim(), name.trim());
        (!name.is_empty()).then(|| (field.to_owned(), name.to_owned()))
    };
    let pairs = read.ok().and_then(|_| record.iter().map(pair).collect::<Option<Vec<_>>>());
    pairs.filter(|pairs| !pairs.is_empty()).ok_or_else(|| {
        CliFault::Usage(format!("--columns {list:?} is no list FIELD=NAME,FIELD=NAME"))
    })
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"tab" | b"\\t" => Ok(b'\t'),
        &[byte] if byte == b'\t' || (byte.is_ascii_punctuation() && byte != b'"') => Ok(byte),
        _ => Err("it is not one ASCII punctuation character, nor the word tab".to_owned()),
    }
}
