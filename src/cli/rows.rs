//! Aliases as rows of a file, NDJSON or CSV: `aka export` writes them, `aka import` reads them.

use super::fault::CliFault;
use clap::ValueEnum;
use serde::{Deserialize, Deserializer, Serialize};
use std::io::{self, BufRead, ErrorKind, Read};
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

/// A line of the file: its row, or why it is not a row.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// From 1.
    pub number: u64,
    pub row: Result<AliasRow, String>,
}

/// The longest line, far longer than any row: a file without line ends must not fill the memory.
const LINE_BYTES: u64 = 1 << 20;

/// Hands over line after line until the end, or until `take` returns `false`. A row of CSV is one
/// line too: no stored id has a line end, and a quote that is left open spoils only its row.
///
/// # Errors
/// If the file cannot be read, or is not in this format from its first row on.
pub(super) fn read(
    format: Format,
    input: impl Read,
    mut take: impl FnMut(Line) -> bool,
) -> Result<(), CliFault> {
    let mut input = io::BufReader::new(input);
    let mut text = Vec::new();
    let (mut header, mut first) = (None, true);
    for number in 1.. {
        text.clear();
        let read = input.by_ref().take(LINE_BYTES).read_until(b'\n', &mut text);
        if read.map_err(cannot_read)? == 0 {
            return Ok(());
        }
        if text.len() as u64 == LINE_BYTES {
            return Err(CliFault::Usage(format!("line {number} is longer than 1 MiB")));
        }
        // Some programs begin their files with a byte order mark.
        let text = text.strip_prefix(b"\xef\xbb\xbf").filter(|_| number == 1).unwrap_or(&text);
        if text.trim_ascii().is_empty() {
            continue;
        }
        let row = match (format, &header) {
            (Format::Ndjson, _) => serde_json::from_slice(text).map_err(|fault| fault.to_string()),
            (Format::Csv, None) => {
                header = Some(csv_header(text)?);
                continue;
            }
            (Format::Csv, Some(header)) => csv_record(text)
                .and_then(|record| record.deserialize(Some(header)))
                .map_err(|fault| fault.to_string()),
        };
        // If the first row is wrong, the whole file is: a million refused rows would help nobody.
        if let (Err(why), true) = (&row, first) {
            let message = format!("line {number}: {why}; is it the right --format?");
            return Err(CliFault::Usage(message));
        }
        first = false;
        if !take(Line { number, row }) {
            return Ok(());
        }
    }
    Ok(())
}

fn csv_header(line: &[u8]) -> Result<csv::ByteRecord, CliFault> {
    let header = csv_record(line).unwrap_or_default();
    for wanted in ["project_id", "alias_id", "canonical_id"] {
        if !header.iter().any(|column| column == wanted.as_bytes()) {
            let message = format!("the first line is no CSV header with a column {wanted}");
            return Err(CliFault::Usage(message));
        }
    }
    Ok(header)
}

fn csv_record(line: &[u8]) -> Result<csv::ByteRecord, csv::Error> {
    let mut record = csv::ByteRecord::new();
    csv::ReaderBuilder::new().has_headers(false).from_reader(line).read_byte_record(&mut record)?;
    Ok(record)
}

fn cannot_read(source: io::Error) -> CliFault {
    match source.kind() {
        ErrorKind::IsADirectory => CliFault::Usage("that is a folder, not a file".to_owned()),
        _ => CliFault::Io { what: "cannot read the rows", source },
    }
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
        assert_eq!(read[0], Line { number: 1, row: Ok(row(1, "a", "b")) });
        assert_eq!(read[1], Line { number: 3, row: Ok(row(2, "\"c, ", "1")) });
        assert!(read[2].number == 4 && read[2].row.is_err());

        let csv = b"\xef\xbb\xbfalias_id,version,canonical_id,project_id\r\na,7,b,1\r\n\
            \"\"\"c, \",,1,2\r\nd\r\ne,,\xff,2\r\nf,,1,2\n\"g,,1,2\nh,,1,2";
        let (read, result) = lines(Format::Csv, csv);
        assert!(result.is_ok());
        assert_eq!(read[0], Line { number: 2, row: Ok(row(1, "a", "b")) });
        assert_eq!(read[1], Line { number: 3, row: Ok(row(2, "\"c, ", "1")) });
        assert!(read[2].number == 4 && read[2].row.is_err(), "{:?}", read[2]);
        assert!(read[3].number == 5 && read[3].row.is_err(), "{:?}", read[3]);
        assert_eq!(read[4], Line { number: 6, row: Ok(row(2, "f", "1")) });
        assert!(read[5].number == 7 && read[5].row.is_err(), "{:?}", read[5]);
        assert_eq!(read[6], Line { number: 8, row: Ok(row(2, "h", "1")) });
    }

    #[test]
    fn a_file_of_another_format_is_refused_at_once() {
        for (format, text) in [
            (Format::Ndjson, &b"project_id,alias_id,canonical_id\n1,a,b\n"[..]),
            (Format::Csv, b"{\"project_id\":1,\"alias_id\":\"a\",\"canonical_id\":\"b\"}\n"),
            (Format::Csv, b"project_id,alias_id\n1,a\n"),
        ] {
            let (read, result) = lines(format, text);
            assert!(read.is_empty() && matches!(result, Err(CliFault::Usage(_))), "{result:?}");
        }
    }

    #[test]
    fn a_line_without_end_does_not_fill_the_memory() {
        let result = read(Format::Ndjson, io::repeat(b'x'), |_| true);
        assert!(matches!(result, Err(CliFault::Usage(message)) if message.contains("line 1 ")));
    }
}
