//! Aliases as rows of a file, NDJSON or CSV: `aka export` writes them, `aka import` reads them.

use super::fault::CliFault;
use super::records::{Record, Records};
use clap::ValueEnum;
use serde::{Deserialize, Deserializer, Serialize};
use std::io::Read;
use std::path::Path;

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One JSON object a line
    Ndjson,
    /// Comma-separated values, with a header
    Csv,
}

impl Format {
    /// The format that the name of a file suggests.
    pub fn of(path: &Path) -> Self {
        match path.extension() {
            Some(extension) if extension.eq_ignore_ascii_case("csv") => Self::Csv,
            _ => Self::Ndjson,
        }
    }
}

/// The fields of an alias that an import needs. Other fields of a row are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AliasRow {
    #[serde(deserialize_with = "number_or_text", serialize_with = "as_text")]
    pub project_id: u64,
    pub alias_id: String,
    pub canonical_id: String,
}

impl AliasRow {
    /// Its size in a message, roughly.
    pub fn bytes(&self) -> usize {
        self.alias_id.len() + self.canonical_id.len()
    }
}

/// 64-bit numbers are strings in proto3 JSON, but people write them as numbers.
fn number_or_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum NumberOrText {
        Number(u64),
        Text(String),
    }
    match NumberOrText::deserialize(deserializer)? {
        NumberOrText::Number(number) => Ok(number),
        NumberOrText::Text(text) => text.parse().map_err(serde::de::Error::custom),
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn as_text<S: serde::Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}

/// A row of the file, or why it is none. A row of CSV may have several lines.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Its first line, from 1.
    pub number: u64,
    /// Its last line.
    pub last: u64,
    pub row: Result<AliasRow, String>,
}

/// Hands over row after row until the end, or until `take` returns `false`.
///
/// # Errors
/// If the file cannot be read, or is not in this format from its first row on.
pub(super) fn read(
    format: Format,
    input: impl Read,
    mut take: impl FnMut(Line) -> bool,
) -> Result<(), CliFault> {
    let mut records = match format {
        Format::Ndjson => Records::lines(input),
        Format::Csv => Records::csv(input),
    };
    let (mut header, mut first) = (None, true);
    while let Some(Record { text, first_line, last_line, fault }) = records.next()? {
        if text.trim_ascii().is_empty() {
            continue;
        }
        let row = match (format, &header) {
            _ if fault.is_some() => Err(fault.unwrap_or_default()),
            (Format::Ndjson, _) => serde_json::from_slice(&text).map_err(|fault| fault.to_string()),
            (Format::Csv, None) => {
                header = Some(csv_header(&text)?);
                continue;
            }
            (Format::Csv, Some(header)) => csv_row(&text, header),
        };
        // If the first row is wrong, the format is wrong. One error is more useful than a million
        // refused rows.
        if let (Err(why), true) = (&row, first) {
            let message = format!("line {first_line}: {why}; is it the right --format?");
            return Err(CliFault::Usage(message));
        }
        first = false;
        if !take(Line { number: first_line, last: last_line, row }) {
            return Ok(());
        }
    }
    Ok(())
}

fn csv_header(text: &[u8]) -> Result<csv::ByteRecord, CliFault> {
    let header = csv_record(text).unwrap_or_default();
    for wanted in ["project_id", "alias_id", "canonical_id"] {
        if !header.iter().any(|column| column == wanted.as_bytes()) {
            let message = format!("the first line is no CSV header with a column {wanted}");
            return Err(CliFault::Usage(message));
        }
    }
    Ok(header)
}

fn csv_row(text: &[u8], header: &csv::ByteRecord) -> Result<AliasRow, String> {
    let record = csv_record(text).map_err(|fault| fault.to_string())?;
    // With a field too many or too few, another field may stand where an id belongs.
    if record.len() != header.len() {
        let (fields, columns) = (record.len(), header.len());
        return Err(format!("the row has {fields} fields, and the header has {columns} columns"));
    }
    record.deserialize(Some(header)).map_err(|fault| fault.to_string())
}

fn csv_record(text: &[u8]) -> Result<csv::ByteRecord, csv::Error> {
    let mut record = csv::ByteRecord::new();
    let mut reader = csv::ReaderBuilder::new();
    // A carriage return alone ends no record, as in `Records`.
    reader.has_headers(false).terminator(csv::Terminator::Any(b'\n'));
    reader.from_reader(text).read_byte_record(&mut record)?;
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(format: Format, text: &[u8]) -> (Vec<Line>, Result<(), CliFault>) {
        let mut lines = Vec::new();
        let result = read(format, text, |line| {
            lines.push(line);
            true
        });
        (lines, result)
    }

    fn row(project_id: u64, alias: &str, canonical: &str) -> AliasRow {
        let (alias_id, canonical_id) = (alias.to_owned(), canonical.to_owned());
        AliasRow { project_id, alias_id, canonical_id }
    }

    #[test]
    fn a_row_is_what_it_was_in_both_formats() {
        let json = br#"{"project_id":"1","alias_id":"a","canonical_id":"b","version":"7"}

{"alias_id":"\"c, ","canonical_id":"1","project_id":2}
{"alias_id":"d"}
"#;
        let (read, result) = lines(Format::Ndjson, json);
        assert!(result.is_ok());
        assert_eq!(read[0], Line { number: 1, last: 1, row: Ok(row(1, "a", "b")) });
        assert_eq!(read[1], Line { number: 3, last: 3, row: Ok(row(2, "\"c, ", "1")) });
        assert!(read[2].number == 4 && read[2].row.is_err());

        let csv = b"\xef\xbb\xbfalias_id,version,canonical_id,project_id\r\na,\"7\n2,x\",b,1\r\n\
            \"\"\"c, \",,1,2\r\nd\r\ne,,\xff,2\r\nf,,1,2,3\n\"f\"g,,1,2\nh,,1,2\n\"i,,1,2\nj,,1,2";
        let (read, result) = lines(Format::Csv, csv);
        assert!(result.is_ok());
        assert_eq!(read[0], Line { number: 2, last: 3, row: Ok(row(1, "a", "b")) });
        assert_eq!(read[1], Line { number: 4, last: 4, row: Ok(row(2, "\"c, ", "1")) });
        for (line, number) in read[2..6].iter().zip(5..) {
            assert!(line.number == number && line.row.is_err(), "{line:?}");
        }
        assert_eq!(read[6], Line { number: 9, last: 9, row: Ok(row(2, "h", "1")) });
        assert!((read[7].number, read[7].last) == (10, 11) && read[7].row.is_err(), "{read:?}");
        assert_eq!(read.len(), 8);
    }

    #[test]
    fn a_file_of_another_format_is_refused_at_once() {
        for (format, text) in [
            (Format::Ndjson, &b"project_id,alias_id,canonical_id\n1,a,b\n"[..]),
            (Format::Csv, b"{\"project_id\":1,\"alias_id\":\"a\",\"canonical_id\":\"b\"}\n"),
            (Format::Csv, b"project_id,alias_id\n1,a\n"),
            (Format::Csv, b"project_id,alias_id,canonical_id\r1,a,b\r"),
        ] {
            let (read, result) = lines(format, text);
            assert!(read.is_empty() && matches!(result, Err(CliFault::Usage(_))), "{result:?}");
        }
    }
}
