//! Ids from the command line, or from the lines of stdin, in batches and in bounded memory.

use super::fault::CliFault;
use super::print::to_stderr;
use super::records::BYTE_ORDER_MARK;
use aka_wire::MAX_CREATES;
use bytes::{Buf, Bytes, BytesMut};
use futures::{StreamExt, stream, stream::BoxStream};
use std::ffi::OsString;
use std::io::{self, ErrorKind, IsTerminal, Read};
use std::{mem, thread};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// The most lines in a batch: as many as the server takes in one call that creates aliases.
const BATCH_LINES: usize = MAX_CREATES;
/// A batch is sent when it holds this much, so that with a last long line it still fits a message.
const BATCH_BYTES: usize = 512 * 1024;
/// The longest line, far longer than any id: a file without line ends must not fill the memory.
const LINE_BYTES: usize = 1024 * 1024;
/// The most that one read returns; a pipe holds as much.
const READ_BYTES: usize = 64 * 1024;
/// Batches that may be read ahead of those under way.
const READ_AHEAD: usize = 2;

/// Consecutive lines.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Batch {
    /// The number of the first line, from 1.
    pub first: u64,
    /// Without their line ends: a line feed, and one carriage return before it.
    pub lines: Vec<Bytes>,
}

/// Batches in the order of the input. A fault is the last item.
pub(super) type Batches = BoxStream<'static, Result<Batch, CliFault>>;

/// Whether the arguments say "read stdin": there are none, or the one is `-`.
pub(super) fn mean_stdin(ids: &[OsString]) -> bool {
    ids.is_empty() || is_dash(ids)
}

/// Whether the one argument is `-`.
pub(super) fn is_dash(ids: &[OsString]) -> bool {
    matches!(ids, [only] if only == "-")
}

/// An argument as the bytes that it is (on Unix; elsewhere its UTF-8).
pub(super) fn argument(id: OsString) -> Bytes {
    id.into_encoded_bytes().into()
}

/// The arguments as batches.
pub(super) fn arguments(ids: Vec<OsString>) -> Batches {
    let lines: Vec<_> = ids.into_iter().map(argument).collect();
    let chunks = lines.chunks(BATCH_LINES).zip((1..).step_by(BATCH_LINES));
    let batches: Vec<_> =
        chunks.map(|(lines, first)| Ok(Batch { first, lines: lines.to_vec() })).collect();
    stream::iter(batches).boxed()
}

/// The lines of stdin. Lines that were read are sent before the next read, which may block.
pub(super) fn stdin(expected: &str) -> Batches {
    if io::stdin().is_terminal() {
        to_stderr(&format!("aka: reading {expected} from the terminal; Ctrl-D ends"));
    }
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    // A thread of its own, not the runtime's: the end of the command must not wait for a read that
    // blocks.
    let spawned = thread::Builder::new().name("aka-stdin".to_owned()).spawn(move || {
        let read =
            read_batches(io::stdin().lock(), |batch| sender.blocking_send(Ok(batch)).is_ok());
        if let Err(fault) = read {
            let _ = sender.blocking_send(Err(fault));
        }
    });
    match spawned {
        Ok(_) => ReceiverStream::new(receiver).boxed(),
        Err(source) => {
            let fault = CliFault::Io { what: "cannot start the reader of stdin", source };
            stream::iter([Err(fault)]).boxed()
        }
    }
}

/// Cuts what is read into lines and batches, until the end or until `emit` says stop (`false`).
fn read_batches(
    mut reader: impl Read,
    mut emit: impl FnMut(Batch) -> bool,
) -> Result<(), CliFault> {
    let mut buffer = BytesMut::new();
    let mut batch = Gathering { next: 1, ..Gathering::default() };
    loop {
        let searched = buffer.len();
        buffer.resize(searched + READ_BYTES, 0);
        let read = match reader.read(&mut buffer[searched..]) {
            Ok(read) => read,
            Err(fault) if fault.kind() == ErrorKind::Interrupted => {
                buffer.truncate(searched);
                continue;
            }
            Err(source) => return Err(CliFault::Io { what: "cannot read stdin", source }),
        };
        buffer.truncate(searched + read);
        if read == 0 {
            if !buffer.is_empty() {
                batch.push(buffer.split().freeze());
            }
            batch.take().map(emit);
            return Ok(());
        }
        // Only the new bytes are searched. Searching a long line from its beginning at each read
        // would take quadratic time.
        let mut from = searched;
        while let Some(end) = buffer[from..].iter().position(|&byte| byte == b'\n') {
            let mut line = buffer.split_to(from + end + 1).freeze();
            line.truncate(from + end);
            from = 0;
            batch.push(line);
            if batch.is_full() && !batch.take().is_none_or(&mut emit) {
                return Ok(());
            }
        }
        if !batch.take().is_none_or(&mut emit) {
            return Ok(());
        }
        if buffer.len() > LINE_BYTES {
            let message = format!("line {} of stdin is longer than 1 MiB", batch.next);
            return Err(CliFault::Usage(message));
        }
    }
}

/// The batch that is being filled.
#[derive(Default)]
struct Gathering {
    lines: Vec<Bytes>,
    bytes: usize,
    /// The number of the next line.
    next: u64,
}

impl Gathering {
    fn push(&mut self, mut line: Bytes) {
        // No alias ends in a carriage return: it is a control character. A first id that begins with
        // a byte order mark is far rarer than a file that does.
        if line.ends_with(b"\r") {
            line.truncate(line.len() - 1);
        }
        if self.next == 1 && line.starts_with(BYTE_ORDER_MARK) {
            line.advance(BYTE_ORDER_MARK.len());
        }
        self.bytes += line.len();
        self.next += 1;
        self.lines.push(line);
    }

    fn is_full(&self) -> bool {
        self.lines.len() >= BATCH_LINES || self.bytes >= BATCH_BYTES
    }

    fn take(&mut self) -> Option<Batch> {
        if self.lines.is_empty() {
            return None;
        }
        self.bytes = 0;
        let lines = mem::take(&mut self.lines);
        Some(Batch { first: self.next - lines.len() as u64, lines })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that brings what it was given, a piece at a read.
    struct Pieces(Vec<&'static [u8]>);

    impl Read for Pieces {
        fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            let piece = self.0.remove(0);
            to[..piece.len()].copy_from_slice(piece);
            Ok(piece.len())
        }
    }

    fn read(reader: impl Read) -> (Vec<Batch>, Result<(), CliFault>) {
        let mut batches = Vec::new();
        let result = read_batches(reader, |batch| {
            batches.push(batch);
            true
        });
        (batches, result)
    }

    #[test]
    fn what_is_there_is_sent_before_the_next_read() {
        let pieces: Vec<&[u8]> = vec![b"a\nb", b"", b"never read"];
        let (batches, _) = read(Pieces(pieces));
        let lines: Vec<_> = batches.iter().map(|batch| batch.lines.clone()).collect();
        assert_eq!(lines, [vec![Bytes::from("a")], vec![Bytes::from("b")]]);
        assert_eq!(batches.iter().map(|batch| batch.first).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn only_line_ends_and_a_byte_order_mark_are_taken_away() {
        let marked = &b"\xef\xbb\xbfa\r"[..];
        let pieces =
            vec![marked, b"\n\r\n\r\r\n\n\xff\x00 ", b" x", b"y\n\xef\xbb\xbfb\n \nlast\r"];
        let (batches, _) = read(Pieces(pieces));
        let lines: Vec<_> = batches.into_iter().flat_map(|batch| batch.lines).collect();
        let right = [&b"a"[..], b"", b"\r", b"", b"\xff\x00  xy", b"\xef\xbb\xbfb", b" ", b"last"];
        assert_eq!(lines, right);
    }

    #[test]
    fn batches_are_bounded_and_numbered() {
        let input: Vec<u8> = (0..2_500).flat_map(|line| format!("{line}\n").into_bytes()).collect();
        let (batches, _) = read(&input[..]);
        assert!(batches.iter().all(|batch| batch.lines.len() <= BATCH_LINES));
        for batch in &batches {
            assert_eq!(batch.lines[0], (batch.first - 1).to_string());
        }
        assert_eq!(batches.iter().map(|batch| batch.lines.len()).sum::<usize>(), 2_500);
    }

    #[test]
    fn a_line_without_end_does_not_fill_the_memory() {
        let (batches, result) = read(io::repeat(b'x'));
        assert!(batches.is_empty());
        assert!(matches!(result, Err(CliFault::Usage(message)) if message.contains("line 1 ")));
    }
}
