//! Cuts a row of CSV into its fields.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder, Terminator};
use std::cell::RefCell;

/// Reads rows with one delimiter. Making it costs much more than reading a row.
pub(super) struct CsvParser {
    /// Its clones read wrongly (csv-core 0.1.13), so it is used in turn.
    reader: RefCell<Reader>,
    delimiter: u8,
}

/// The fields of a row.
pub(super) struct CsvRecord {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl CsvParser {
    pub fn new(delimiter: u8) -> Self {
        let mut reader = ReaderBuilder::new();
        // A carriage return alone ends no record, as in `Records`.
        let reader = reader.terminator(Terminator::Any(b'\n')).delimiter(delimiter).build();
        Self { reader: RefCell::new(reader), delimiter }
    }

    /// The fields of one row.
    pub fn read(&self, row: &[u8]) -> CsvRecord {
        let mut reader = self.reader.borrow_mut();
        reader.reset();
        // No row has more fields than this, and no field is longer than its text.
        let fields = 1 + row.iter().filter(|&&byte| byte == self.delimiter).count();
        let (mut bytes, mut ends) = (vec![0; row.len() + 1], vec![0; fields + 1]);
        let (mut read, mut written, mut ended) = (0, 0, 0);
        loop {
            // Without any input left this says that the row is at its end.
            let (result, took, put, found) =
                reader.read_record(&row[read..], &mut bytes[written..], &mut ends[ended..]);
            (read, written, ended) = (read + took, written + put, ended + found);
            if result != ReadRecordResult::InputEmpty {
                break;
            }
        }
        bytes.truncate(written);
        ends.truncate(ended);
        CsvRecord { bytes, ends }
    }
}

impl CsvRecord {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn get(&self, place: usize) -> Option<&[u8]> {
        let end = *self.ends.get(place)?;
        let start = if place == 0 { 0 } else { self.ends[place - 1] };
        self.bytes.get(start..end)
    }

    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).filter_map(|place| self.get(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_what_they_were_written_from() {
        let parser = CsvParser::new(b',');
        for (row, fields) in [
            ("a,b", &["a", "b"][..]),
            (",,", &["", "", ""]),
            ("\"a,\"\"b\"\"\n\",5\" c,", &["a,\"b\"\n", "5\" c", ""]),
            ("\"\"", &[""]),
        ] {
            let record = parser.read(row.as_bytes());
            let read: Vec<_> = record.iter().map(|field| str::from_utf8(field)).collect();
            assert_eq!(read, fields.iter().map(|&field| Ok(field)).collect::<Vec<_>>(), "{row:?}");
        }
    }
}
