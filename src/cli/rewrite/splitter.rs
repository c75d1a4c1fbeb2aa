//! Cuts what is read into events, in bounded memory: lines, or the elements of one JSON array.
//! Every byte that belongs to no event is passed on as it is.

use crate::cli::compressed::cannot_read;
use crate::cli::fault::CliFault;
use crate::cli::records::BYTE_ORDER_MARK;
use std::io::{ErrorKind, Read};
use std::ops::Range;

/// How much is read at a time. What was read is passed on before the next read, which may block.
const READ_BYTES: usize = 256 * 1024;
/// The longest event.
const EVENT_BYTES: usize = 16 << 20;

/// Bytes of the input, with the places of the events in them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Cut {
    pub data: Vec<u8>,
    pub events: Vec<Range<usize>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// Nothing but blanks so far.
    Unknown,
    Lines,
    Array,
}

/// Where the next byte of an array stands.
#[derive(Clone, Copy, Debug, Default)]
struct InArray {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

pub(super) struct Splitter<R> {
    input: R,
    buffer: Vec<u8>,
    layout: Layout,
    /// What is before it was looked at.
    seen: usize,
    /// The start of the event that is not complete.
    start: Option<usize>,
    array: InArray,
    at_start: bool,
    ended: bool,
}

impl<R: Read> Splitter<R> {
    pub fn new(input: R) -> Self {
        Self {
            input,
            buffer: Vec::new(),
            layout: Layout::Unknown,
            seen: 0,
            start: None,
            array: InArray::default(),
            at_start: true,
            ended: false,
        }
    }

    /// The next complete events; `None` at the end.
    ///
    /// # Errors
    /// If the input cannot be read, or an event is too long.
    pub fn next(&mut self) -> Result<Option<Cut>, CliFault> {
        while !self.ended {
            let known = self.buffer.len();
            self.buffer.resize(known + READ_BYTES, 0);
            let read = match self.input.read(&mut self.buffer[known..]) {
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {
                    self.buffer.truncate(known);
                    continue;
                }
                Err(error) => return Err(cannot_read(error)),
            };
            self.buffer.truncate(known + read);
            self.ended = read == 0;
            let mut events = Vec::new();
            self.scan(&mut events);
            if self.ended {
                self.finish(&mut events);
                return Ok((!self.buffer.is_empty())
                    .then(|| Cut { data: std::mem::take(&mut self.buffer), events }));
            }
            if !events.is_empty() {
                return Ok(Some(self.cut(events)));
            }
            if self.buffer.len() > EVENT_BYTES {
                let text = "an event is longer than 16 MiB: are the events one a line?";
                return Err(CliFault::Usage(text.to_owned()));
            }
        }
        Ok(None)
    }

    /// Takes what is complete out of the buffer.
    fn cut(&mut self, events: Vec<Range<usize>>) -> Cut {
        let end = self.start.unwrap_or(self.seen);
        let rest = self.buffer.split_off(end);
        let data = std::mem::replace(&mut self.buffer, rest);
        self.seen -= end;
        self.start = self.start.map(|start| start - end);
        Cut { data, events }
    }

    fn scan(&mut self, events: &mut Vec<Range<usize>>) {
        if self.at_start && (self.buffer.len() >= BYTE_ORDER_MARK.len() || self.ended) {
            self.at_start = false;
            if self.buffer.starts_with(BYTE_ORDER_MARK) {
                self.seen = BYTE_ORDER_MARK.len();
            }
        }
        if self.at_start {
            return;
        }
        while self.seen < self.buffer.len() {
            match self.layout {
                Layout::Unknown => match self.buffer[self.seen] {
                    byte if byte.is_ascii_whitespace() => self.seen += 1,
                    b'[' => {
                        self.layout = Layout::Array;
                        self.seen += 1;
                    }
                    _ => self.layout = Layout::Lines,
                },
                Layout::Lines => self.scan_line(events),
                Layout::Array => self.scan_element(events),
            }
        }
    }

    fn scan_line(&mut self, events: &mut Vec<Range<usize>>) {
        let from = *self.start.get_or_insert(self.seen);
        match self.buffer[self.seen..].iter().position(|&byte| byte == b'\n') {
            Some(length) => {
                self.seen += length + 1;
                self.start = None;
                self.push(from..self.seen, events);
            }
            None => self.seen = self.buffer.len(),
        }
    }

    /// Looks at bytes of an array up to the end of an element, or of what was read.
    fn scan_element(&mut self, events: &mut Vec<Range<usize>>) {
        while let Some(&byte) = self.buffer.get(self.seen) {
            let InArray { depth, in_string, escaped } = &mut self.array;
            if *in_string {
                *in_string = *escaped || byte != b'"';
                *escaped = !*escaped && byte == b'\\';
                self.seen += 1;
                continue;
            }
            let ends = *depth == 0 && matches!(byte, b',' | b']');
            match byte {
                b'"' => *in_string = true,
                b'{' | b'[' => *depth += 1,
                b'}' | b']' => *depth = depth.saturating_sub(1),
                _ => {}
            }
            if ends {
                if let Some(start) = self.start.take() {
                    self.push(start..self.seen, events);
                }
                if byte == b']' {
                    // What follows does not belong to the array.
                    self.layout = Layout::Unknown;
                }
            } else if self.start.is_none() && !byte.is_ascii_whitespace() {
                self.start = Some(self.seen);
            }
            self.seen += 1;
            if ends {
                return;
            }
        }
    }

    fn finish(&mut self, events: &mut Vec<Range<usize>>) {
        if let Some(start) = self.start.take() {
            self.push(start..self.buffer.len(), events);
        }
    }

    /// Adds an event without the blanks around it, unless it is nothing else.
    fn push(&self, at: Range<usize>, events: &mut Vec<Range<usize>>) {
        let text = &self.buffer[at.clone()];
        let blank = |byte: &&u8| byte.is_ascii_whitespace();
        let before = text.iter().take_while(blank).count();
        if before < text.len() {
            let after = text.iter().rev().take_while(blank).count();
            events.push(at.start + before..at.end - after);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads as many bytes at a time.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
            let count = self.1.min(self.0.len()).min(to.len());
            to[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    #[track_caller]
    fn assert_cut(text: &str, expected: &[&str]) {
        for step in [1, 2, 3, 7, 1_000] {
            let mut splitter = Splitter::new(Slow(text.as_bytes(), step));
            let (mut whole, mut found) = (Vec::new(), Vec::new());
            while let Some(cut) = splitter.next().expect("it can be read") {
                for event in cut.events {
                    found.push(String::from_utf8(cut.data[event].to_vec()).expect("UTF-8"));
                }
                whole.extend(cut.data);
            }
            assert_eq!(whole, text.as_bytes(), "{step}: every byte is passed on");
            assert_eq!(found, expected, "{step}: {text}");
        }
    }

    #[test]
    fn lines_are_events() {
        assert_cut("", &[]);
        assert_cut(" \n\r\n", &[]);
        assert_cut("{\"a\":1}\n", &["{\"a\":1}"]);
        assert_cut("\u{feff}{\"a\":1}\r\n\n  {}  \nx", &["{\"a\":1}", "{}", "x"]);
    }

    #[test]
    fn elements_of_an_array_are_events() {
        assert_cut("[]", &[]);
        assert_cut(
            " [ {\"a\":\"]}\\\"\\\\\"} ,\n{\"b\":[1,{}]},3]\n",
            &["{\"a\":\"]}\\\"\\\\\"}", "{\"b\":[1,{}]}", "3"],
        );
        assert_cut("[{\"a\":1},{\"b\"", &["{\"a\":1}", "{\"b\""]);
        assert_cut("[1]\n{\"a\":1}\n", &["1", "{\"a\":1}"]);
    }

    #[test]
    fn an_event_without_end_does_not_fill_the_memory() {
        let endless = std::io::repeat(b'x');
        assert!(matches!(Splitter::new(endless).next(), Err(CliFault::Usage(_))));
    }
}
