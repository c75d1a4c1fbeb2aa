//! Reads the rows of a file.

use super::blanks::Blanks;
use super::csv_fields::CsvHeader;
use super::json_fields::JsonFields;
use super::mapping::Mapping;
use super::refused::FiledRow;
use super::row::{AliasRow, HeaderText, Row, RowFault, RowText};
use crate::cli::compressed::inflated;
use crate::cli::fault::CliFault;
use crate::cli::format::Format;
use crate::cli::records::{Record, Records};
use std::io::Read;
use std::sync::Arc;

/// How a file is read.
#[derive(Clone, Debug)]
pub(super) struct RowReader {
    pub format: Format,
    pub delimiter: u8,
    pub mapping: Mapping,
    pub blanks: Blanks,
}

/// The first row that is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FirstRow {
    /// The one of this number.
    Number(u64),
    /// The first one that begins on this line or later.
    Line(u64),
}

/// What a record of the file is.
struct Reading {
    written: RowText,
    alias: Result<Option<AliasRow>, RowFault>,
    /// Whether it comes from a file of refused rows.
    filed: bool,
}

impl RowReader {
    /// Hands over row after row with its number, `None` for a row that names no alias and is no
    /// mistake, until the end or until `take` returns `false`.
    ///
    /// # Errors
    /// If the file cannot be read, or is not in this format from its first row on.
    pub fn read(
        &self,
        input: impl Read + Send + 'static,
        from: FirstRow,
        mut take: impl FnMut(u64, Option<Row>) -> bool,
    ) -> Result<(), CliFault> {
        let input = inflated(input)?;
        let mut records = match self.format {
            Format::Ndjson => Records::lines(input),
            Format::Csv => Records::csv(input, self.delimiter),
        };
        let (mut header, mut number) = (None, 0);
        while let Some(Record { text, first_line: line, fault, .. }) = records.next()? {
            if self.is_empty(&text) {
                continue;
            }
            if self.format == Format::Csv && header.is_none() {
                let written = HeaderText { text, delimiter: self.delimiter };
                let read = fault.map_or_else(|| self.header(written), Err);
                header = Some(read.map_err(CliFault::Usage)?);
                continue;
            }
            number += 1;
            let is_before = match from {
                FirstRow::Number(first) => number < first,
                FirstRow::Line(first) => line < first,
            };
            if is_before {
                continue;
            }
            let reading = self.record(text, fault, header.as_ref());
            // If the first row is wrong, the options are wrong. One error is more useful than a
            // million refused rows.
            if let (Err(why), 1, false) = (&reading.alias, number, reading.filed) {
                return Err(self.first_is_wrong(line, &why.message, &reading.written.text));
            }
            let Reading { written, alias, .. } = reading;
            let row = alias.transpose().map(|alias| Row {
                number,
                line,
                written,
                alias,
                chain_end: Ok(None),
            });
            if !take(number, row) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether a record is an empty line, or a row below the table of a spreadsheet.
    fn is_empty(&self, text: &[u8]) -> bool {
        let delimiter = (self.format == Format::Csv).then_some(self.delimiter);
        text.iter().all(|&byte| byte.is_ascii_whitespace() || Some(byte) == delimiter)
    }

    fn header(&self, written: HeaderText) -> Result<CsvHeader, String> {
        let header = CsvHeader::parse(written)?;
        self.mapping.check(&header).map(|()| header)
    }

    fn record(&self, text: Vec<u8>, fault: Option<String>, header: Option<&CsvHeader>) -> Reading {
        if let Some(header) = header {
            let alias = match fault {
                Some(why) => Err(RowFault::malformed(why)),
                None => self.csv(&text, header),
            };
            let written = RowText { text, header: Some(Arc::clone(&header.written)) };
            return Reading { written, alias, filed: false };
        }
        match FiledRow::parse(&text) {
            Some(filed) => self.filed(filed),
            None => {
                let alias = self.json(&text);
                Reading { written: RowText { text, header: None }, alias, filed: false }
            }
        }
    }

    /// A row that was refused before. If it could be read then, its fields have aka's names.
    fn filed(&self, FiledRow { written, alias }: FiledRow) -> Reading {
        let alias = match (alias, &written.header) {
            (Some(alias), _) => Ok(Some(alias)),
            (None, None) => self.json(&written.text),
            (None, Some(header)) => self
                .header(HeaderText::clone(header))
                .map_err(RowFault::malformed)
                .and_then(|header| self.csv(&written.text, &header)),
        };
        Reading { written, alias, filed: true }
    }

    fn csv(&self, text: &[u8], header: &CsvHeader) -> Result<Option<AliasRow>, RowFault> {
        self.mapping.alias(&header.row(text, self.blanks)?)
    }

    fn json(&self, text: &[u8]) -> Result<Option<AliasRow>, RowFault> {
        let fields = JsonFields::parse(text, &|name| self.mapping.wants(name));
        self.mapping.alias(&fields.map_err(RowFault::malformed)?)
    }

    fn first_is_wrong(&self, line: u64, why: &str, text: &[u8]) -> CliFault {
        let hint = match (self.format, text.trim_ascii_start().first()) {
            (Format::Ndjson, Some(b'[')) => {
                "a list must be one object a line, as jq -c '.[]' makes it"
            }
            _ => "is it the right --format? --from-record 2 leaves the row out",
        };
        CliFault::Usage(format!("line {line}: {why}; {hint}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::{always, spoiled, text};
    use std::io::Cursor;

    /// The aliases of a file that is read to its end, without rows that are refused.
    fn aliases(format: Format, file: Vec<u8>) -> Result<Vec<AliasRow>, CliFault> {
        let (mapping, blanks) = (Mapping::of_aka(), Blanks::Keep);
        let reader = RowReader { format, delimiter: b',', mapping, blanks };
        let mut aliases = Vec::new();
        reader.read(Cursor::new(file), FirstRow::Number(1), |_, row| {
            aliases.extend(row.and_then(|row| row.alias.ok()));
            true
        })?;
        Ok(aliases)
    }

    /// Also rows of random texts, of which the first must be good, or all are refused.
    fn check(format: Format, write: impl Fn(&[AliasRow]) -> Vec<u8>) {
        always(|random| {
            let mut rows = Vec::new();
            for number in 1..=random.int_in_range(1..=4)? {
                let alias_id = format!("a{}", text(random)?);
                let canonical_id = format!("c{}", text(random)?);
                rows.push(AliasRow { project_id: number, alias_id, canonical_id });
            }
            let file = write(&rows);
            assert_eq!(aliases(format, file.clone()).expect("whole"), rows, "{file:?}");
            // It may be refused, and is never a panic.
            let _ = aliases(format, spoiled(random, file)?);
            Ok(())
        });
    }

    #[test]
    fn rows_of_json_are_read_or_refused() {
        check(Format::Ndjson, |rows| {
            let lines = rows.iter().map(|row| serde_json::to_string(row).expect("JSON") + "\n");
            lines.collect::<String>().into_bytes()
        });
    }

    #[test]
    fn rows_of_csv_are_read_or_refused() {
        check(Format::Csv, |rows| {
            let mut file = csv::WriterBuilder::new()
                .quote_style(csv::QuoteStyle::Always)
                .from_writer(Vec::new());
            file.write_record(["project_id", "alias_id", "canonical_id"]).expect("room");
            for AliasRow { project_id, alias_id, canonical_id } in rows {
                let record = [&project_id.to_string(), alias_id, canonical_id];
                file.write_record(record).expect("room");
            }
            file.into_inner().expect("room")
        });
    }
}
