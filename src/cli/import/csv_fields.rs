//! Rows of CSV under their header.

use super::blanks::{Blanks, unpadded};
use super::csv_record::{CsvParser, CsvRecord};
use super::fields::{FieldValue, Fields};
use super::json_fields::JsonFields;
use super::row::{HeaderText, RowFault};
use crate::cli::records::BYTE_ORDER_MARK;
use std::collections::HashSet;
use std::sync::Arc;

/// The columns of a file.
pub(super) struct CsvHeader {
    pub written: Arc<HeaderText>,
    columns: Vec<String>,
    parser: CsvParser,
}

impl CsvHeader {
    /// Reads the header. Blanks around a name do not belong to it.
    ///
    /// # Errors
    /// If it names a column twice, or is not UTF-8.
    pub fn parse(written: HeaderText) -> Result<Self, String> {
        let HeaderText { text, delimiter } = &written;
        let parser = CsvParser::new(*delimiter);
        let record = parser.read(&unpadded(text, *delimiter, false).text);
        let name = |column: &[u8]| str::from_utf8(column).map(|name| name.trim().to_owned());
        let columns: Result<Vec<_>, _> = record.iter().map(name).collect();
        let columns = columns.map_err(|_| "the CSV header is not UTF-8: convert the file")?;
        if let Some(twice) = named_twice(&columns) {
            return Err(format!("the CSV header names the column {twice} twice"));
        }
        Ok(Self { written: Arc::new(written), columns, parser })
    }

    /// Whether rows may have a field of this name.
    pub fn has(&self, name: &str) -> bool {
        self.place(name).is_some()
            || name.split_once('.').is_some_and(|(outer, _)| self.place(outer).is_some())
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column == name)
    }

    /// What is wrong with a header without a column that is needed, and what may help.
    pub fn lacks(&self, wanted: &str) -> String {
        let HeaderText { text, delimiter } = &*self.written;
        let hint: String = if text.contains(&b'\r') {
            "its lines end with a carriage return alone: convert them, as tr '\\r' '\\n' does"
                .into()
        } else if text.to_ascii_lowercase().starts_with(b"sep=") {
            "remove that line, and name its delimiter with --delimiter".into()
        } else if let Some(other) =
            b",;\t|".iter().find(|other| *other != delimiter && text.contains(other))
        {
            let other = if *other == b'\t' { "tab".into() } else { char::from(*other).to_string() };
            format!("if another character stands between its fields, say --delimiter '{other}'")
        } else {
            "--columns maps the names that it has, and --project stands for project_id".into()
        };
        format!("the first line is no CSV header with a column {wanted}: {hint}")
    }

    /// Reads a row.
    ///
    /// # Errors
    /// If it does not fit the header.
    pub fn row(&self, text: &[u8], blanks: Blanks) -> Result<CsvFields<'_>, RowFault> {
        let delimiter = self.written.delimiter;
        // Files that were put together may have the header once more in the middle.
        if text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text) == self.written.text {
            return Err(RowFault::malformed("the row is the header once more"));
        }
        let row = unpadded(text, delimiter, blanks == Blanks::Keep);
        let record = self.parser.read(&row.text);
        // With a field too many or too few, another field may stand where an id belongs.
        let (fields, columns) = (record.len(), self.columns.len());
        if fields != columns {
            return Err(RowFault::malformed(format!(
                "the row has {fields} fields, and the header has {columns} columns"
            )));
        }
        let padded = if blanks == Blanks::Refuse { row.padded } else { Vec::new() };
        Ok(CsvFields { header: self, record, padded })
    }
}

/// A row of CSV.
pub(super) struct CsvFields<'a> {
    header: &'a CsvHeader,
    record: CsvRecord,
    /// Fields whose blanks are not decided on.
    padded: Vec<bool>,
}

impl CsvFields<'_> {
    fn text(&self, name: &str) -> Result<Option<&str>, RowFault> {
        let place = self.header.place(name);
        let Some(field) = place.and_then(|place| self.record.get(place)) else { return Ok(None) };
        let text = str::from_utf8(field);
        text.map(Some).map_err(|_| RowFault::malformed(format!("{name} is not UTF-8")))
    }
}

impl Fields for CsvFields<'_> {
    fn get(&self, name: &str) -> Result<Option<FieldValue>, RowFault> {
        if let Some(text) = self.text(name)? {
            return Ok(Some(FieldValue::Text(text.to_owned())));
        }
        let Some((outer, inner)) = name.split_once('.') else { return Ok(None) };
        match self.text(outer)? {
            Some(text) if !text.is_empty() => {
                JsonFields::parse(text.as_bytes(), &|name| name == inner)
                    .map_err(|why| RowFault::malformed(format!("{outer}: {why}")))?
                    .get(inner)
            }
            _ => Ok(None),
        }
    }

    fn get_id(&self, name: &str) -> Result<Option<FieldValue>, RowFault> {
        let place = self.header.place(name);
        if place.is_some_and(|place| self.padded.get(place) == Some(&true)) {
            return Err(RowFault {
                reason: "BLANKS_AROUND_ID",
                message: format!(
                    "blanks stand around {name}: --blanks trim leaves them out, and --blanks keep \
                     makes them part of the id, as quotes around both do"
                ),
            });
        }
        self.get(name)
    }
}

/// A name that two columns have. Columns without a name cannot be asked for, and may be many.
fn named_twice(columns: &[String]) -> Option<&str> {
    let mut seen = HashSet::new();
    let mut named = columns.iter().filter(|name| !name.is_empty());
    named.find(|name| !seen.insert(name.as_str())).map(String::as_str)
}
