//! Cuts the bytes of a file into records, in bounded memory: lines, or what CSV puts between two
//! line ends outside of quotes.

use super::compressed::cannot_read;
use super::fault::CliFault;
use std::io::{BufRead, BufReader, ErrorKind, Read};

/// The longest record, far longer than any row: a file without line ends, or with a quote that is
/// never closed, must not fill the memory.
const RECORD_BYTES: usize = 1 << 20;

/// Some programs begin their files with a byte order mark.
pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The records of a file.
pub(super) struct Records<R> {
    input: BufReader<R>,
    /// The byte between two fields of CSV, where a quoted field may hold line ends.
    delimiter: Option<u8>,
    /// The number of the line that is read next.
    line: u64,
}

/// One record, without its line end.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    pub text: Vec<u8>,
    /// The lines that it begins and ends on, from 1.
    pub first_line: u64,
    pub last_line: u64,
    /// Why its text must not be read as a row.
    pub fault: Option<String>,
}

/// The place of the next byte in a record of CSV.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// At the start of a field, or behind blanks there. A quote behind such blanks opens the field
    /// too: a line break that follows it was typed into the field, and must not end a row.
    FieldStart,
    Unquoted,
    /// Inside a quoted field that opens on this line.
    Quoted {
        opened: u64,
    },
    /// After a quote in a quoted field. It closes the field, or is the first half of a doubled
    /// quote.
    AfterQuote {
        opened: u64,
    },
}

impl<R: Read> Records<R> {
    /// Records that are lines.
    pub fn lines(input: R) -> Self {
        Self { input: BufReader::new(input), delimiter: None, line: 1 }
    }

    /// Records of CSV.
    pub fn csv(input: R, delimiter: u8) -> Self {
        Self { delimiter: Some(delimiter), ..Self::lines(input) }
    }

    /// The next record; `None` at the end of the file.
    ///
    /// # Errors
    /// If the file cannot be read, or the record is too long.
    pub fn next(&mut self) -> Result<Option<Record>, CliFault> {
        let mut record = Record { first_line: self.line, ..Record::default() };
        let mut place = Place::FieldStart;
        loop {
            let piece = match self.input.fill_buf() {
                Ok(piece) => piece,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(cannot_read(error)),
            };
            if piece.is_empty() {
                return Ok(self.last(record, place));
            }
            let (mut taken, mut whole) = (0, false);
            for &byte in piece {
                taken += 1;
                if let Some(delimiter) = self.delimiter
                    && !is_in_mark(&record, byte)
                {
                    place = place.after(byte, delimiter, self.line, &mut record.fault);
                }
                if byte == b'\n' {
                    record.last_line = self.line;
                    self.line += 1;
                    whole = !matches!(place, Place::Quoted { .. });
                    if whole {
                        break;
                    }
                }
                record.text.push(byte);
                if record.text.len() >= RECORD_BYTES {
                    return Err(too_long(&record, place));
                }
            }
            self.input.consume(taken);
            if whole {
                return Ok(Some(record.trimmed()));
            }
        }
    }

    /// The record after the last line end, if the file does not end there.
    fn last(&mut self, mut record: Record, place: Place) -> Option<Record> {
        if record.text.is_empty() {
            return None;
        }
        if record.text.last() != Some(&b'\n') {
            record.last_line = self.line;
            self.line += 1;
        }
        if let Place::Quoted { opened } = place {
            // What follows the quote may be a text that somebody typed in. It must not become rows.
            record.fault = Some(format!(
                "the quote that opens on line {opened} is not closed: nothing from line {} to the \
                 end of the file, line {}, is read as a row",
                record.first_line, record.last_line
            ));
        }
        Some(record.trimmed())
    }
}

impl Record {
    /// The record without a byte order mark, and without the carriage return of its line end.
    fn trimmed(mut self) -> Self {
        if self.text.last() == Some(&b'\r') {
            self.text.pop();
        }
        if self.first_line == 1 && self.text.starts_with(BYTE_ORDER_MARK) {
            self.text.drain(..BYTE_ORDER_MARK.len());
        }
        self
    }
}

/// Whether a byte belongs to the byte order mark at the start of the file, so that a quote right
/// after it opens the first field.
fn is_in_mark(record: &Record, byte: u8) -> bool {
    let at = record.text.len();
    record.first_line == 1
        && BYTE_ORDER_MARK.get(at) == Some(&byte)
        && BYTE_ORDER_MARK.starts_with(&record.text)
}

impl Place {
    /// The place after a byte of line `line`.
    fn after(self, byte: u8, delimiter: u8, line: u64, fault: &mut Option<String>) -> Self {
        match (self, byte) {
            (Self::FieldStart, b'"') => Self::Quoted { opened: line },
            (Self::Quoted { opened }, b'"') => Self::AfterQuote { opened },
            (Self::AfterQuote { opened }, b'"') => Self::Quoted { opened },
            (Self::Quoted { .. }, _) => self,
            (_, byte) if byte == delimiter || byte == b'\n' => Self::FieldStart,
            (Self::FieldStart, b' ' | b'\t') => self,
            (Self::AfterQuote { .. }, b' ' | b'\t' | b'\r') => self,
            (Self::AfterQuote { opened }, _) => {
                fault.get_or_insert_with(|| {
                    format!(
                        "text follows a closing quote on line {line}: a quote is missing there or \
                         is one too many on line {opened}"
                    )
                });
                Self::Unquoted
            }
            (Self::FieldStart | Self::Unquoted, _) => Self::Unquoted,
        }
    }
}

fn too_long(record: &Record, place: Place) -> CliFault {
    let line = record.first_line;
    let hint = match place {
        Place::Quoted { opened } => format!(": is the quote that opens on line {opened} closed?"),
        _ => String::new(),
    };
    CliFault::Usage(format!("line {line} is longer than 1 MiB{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    fn records(csv: bool, text: &[u8]) -> Vec<(u64, u64, String, bool)> {
        let delimiter = csv.then_some(b',');
        // Reads one byte at a time, so that every state meets the end of a buffer.
        let mut records = Records { input: BufReader::with_capacity(1, text), delimiter, line: 1 };
        let next = || records.next().expect("it can be read");
        std::iter::from_fn(next)
            .map(|record| {
                let text = String::from_utf8(record.text).expect("UTF-8");
                (record.first_line, record.last_line, text, record.fault.is_some())
            })
            .collect()
    }

    fn of(first: u64, last: u64, text: &str, fault: bool) -> (u64, u64, String, bool) {
        (first, last, text.to_owned(), fault)
    }

    #[test]
    fn a_line_break_in_quotes_belongs_to_the_field() {
        let text = "\u{feff}\"a\r\nb\",c\r\nd,\"e \"\" \n\n\"\n\nf\"\n\"g\"\r\nh";
        let expected = [
            of(1, 2, "\"a\r\nb\",c", false),
            of(3, 5, "d,\"e \"\" \n\n\"", false),
            of(6, 6, "", false),
            of(7, 7, "f\"", false),
            of(8, 8, "\"g\"", false),
            of(9, 9, "h", false),
        ];
        assert_eq!(records(true, text.as_bytes()), expected);
        let lines = [of(1, 1, "\"a", false), of(2, 2, "\"b", false)];
        assert_eq!(records(false, b"\"a\n\"b\n"), lines);
    }

    #[test]
    fn a_quote_that_is_left_open_spoils_its_record() {
        assert_eq!(
            records(true, b"a\n\"b\nc\n"),
            [of(1, 1, "a", false), of(2, 3, "\"b\nc\n", true)]
        );
        // The next quote seems to close it, and a text follows.
        let text = b"\"a,1\n\"b\",2\nc,3\n";
        assert_eq!(records(true, text), [of(1, 2, "\"a,1\n\"b\",2", true), of(3, 3, "c,3", false)]);
    }

    #[test]
    fn blanks_around_quotes_do_not_hide_them() {
        let text = b"1, \"a\n2,b\" ,c\n \td \"\ne,\" f\" g\n";
        let expected = [
            of(1, 2, "1, \"a\n2,b\" ,c", false),
            of(3, 3, " \td \"", false),
            of(4, 4, "e,\" f\" g", true),
        ];
        assert_eq!(records(true, text), expected);
        // A tab that stands between fields is no blank.
        let mut tabbed = Records::csv(&b"a\t\"b\n\"\tc\n"[..], b'\t');
        let record = tabbed.next().expect("it can be read").expect("a record");
        assert_eq!((record.last_line, record.fault), (2, None));
    }

    #[test]
    fn a_record_without_end_does_not_fill_the_memory() {
        let endless = io::repeat(b'x');
        let quoted = b"\"a\nb\",\"".chain(io::repeat(b'\n'));
        for (result, part) in [
            (Records::lines(endless).next(), "line 1 is longer than 1 MiB"),
            (Records::csv(quoted, b',').next(), "quote that opens on line 2"),
        ] {
            assert!(matches!(result, Err(CliFault::Usage(message)) if message.contains(part)));
        }
    }
}
