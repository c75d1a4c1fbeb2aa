//! Reads events in a thread of its own, ahead of those that are looked up.

use super::event::{EventReader, Meaning};
use super::keep::WrittenEvents;
use super::splitter::{Cut, Splitter};
use crate::cli::compressed::inflated;
use crate::cli::fault::CliFault;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::thread;
use tokio::sync::mpsc;
use xxhash_rust::xxh3::Xxh3;

/// Chunks that may be read ahead.
const READ_AHEAD: usize = 4;

/// Consecutive events.
pub(super) struct EventChunk {
    pub cut: Cut,
    /// What each event says.
    pub meanings: Vec<Meaning>,
    /// The number of the first event, from 1, over all files.
    pub first: u64,
    /// What is written once this chunk is.
    pub written: WrittenEvents,
}

pub(super) type Chunks = mpsc::Receiver<Result<EventChunk, CliFault>>;

/// The events of these files, without those that were written `before` and what is between them.
///
/// A fault among them says that the input does not begin with those.
pub(super) fn read(
    files: Vec<PathBuf>,
    reader: EventReader,
    before: Option<WrittenEvents>,
) -> Result<Chunks, CliFault> {
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    let spawned = thread::Builder::new().name("aka-events".to_owned()).spawn(move || {
        let mut emit = |chunk| sender.blocking_send(Ok(chunk)).is_ok();
        if let Err(fault) = read_all(&files, &reader, before.as_ref(), &mut emit) {
            let _ = sender.blocking_send(Err(fault));
        }
    });
    spawned.map_err(|source| CliFault::Io { what: "cannot start the reader", source })?;
    Ok(receiver)
}

fn read_all(
    files: &[PathBuf],
    reader: &EventReader,
    written: Option<&WrittenEvents>,
    emit: &mut dyn FnMut(EventChunk) -> bool,
) -> Result<(), CliFault> {
    let (mut passed, skip) = (Passed::default(), written.map_or(0, |written| written.events));
    let stdin = [PathBuf::from("-")];
    let files = if files.is_empty() { &stdin[..] } else { files };
    for file in files {
        let mut splitter = Splitter::new(match file == Path::new("-") {
            true => inflated(io::stdin())?,
            false => inflated(File::open(file).map_err(|error| {
                CliFault::Usage(format!("cannot open {}: {error}", file.display()))
            })?)?,
        });
        while let Some(cut) = splitter.next()? {
            let count = cut.events.len() as u64;
            let done = skip.saturating_sub(passed.events).min(count) as usize;
            passed.add(&cut, 0..done);
            if let Some(written) = written.filter(|_| done > 0 && passed.events == skip) {
                passed.check(written)?;
            }
            if done > 0 && done == cut.events.len() {
                continue;
            }
            let first = passed.events + 1;
            passed.add(&cut, done..cut.events.len());
            let cut = without(cut, done);
            let read = |at: &Range<usize>| reader.read(&cut.data[at.clone()]);
            let meanings = cut.events.iter().map(read).collect();
            if !emit(EventChunk { cut, meanings, first, written: passed.written() }) {
                return Ok(());
            }
        }
    }
    // An input that is shorter than what was written.
    written.filter(|_| passed.events < skip).map_or(Ok(()), |written| passed.check(written))
}

/// The events that were read so far.
#[derive(Default)]
struct Passed {
    events: u64,
    hash: Xxh3,
}

impl Passed {
    fn add(&mut self, cut: &Cut, which: Range<usize>) {
        for at in &cut.events[which] {
            self.events += 1;
            // With its length, so that no two events look like one.
            self.hash.update(&at.len().to_le_bytes());
            self.hash.update(&cut.data[at.clone()]);
        }
    }

    fn written(&self) -> WrittenEvents {
        let fingerprint = format!("{:032x}", self.hash.digest128());
        WrittenEvents { events: self.events, fingerprint }
    }

    /// Whether these are the events that were written before.
    fn check(&self, written: &WrittenEvents) -> Result<(), CliFault> {
        match self.written() == *written {
            true => Ok(()),
            false => Err(CliFault::Usage(format!(
                "the resume file belongs to another input: this one does not begin with the {} events \
                 that were written; name another --resume-file, or remove it",
                written.events
            ))),
        }
    }
}

/// What is left behind the first events, which were written before, and the byte that ended them.
fn without(mut cut: Cut, done: usize) -> Cut {
    let Some(last) = done.checked_sub(1).and_then(|last| cut.events.get(last)) else { return cut };
    // What is between the last one that was written and the next one was written with it.
    let from = cut.events.get(done).map_or(last.end, |next| next.start);
    cut.data.drain(..from);
    cut.events.drain(..done);
    cut.events.iter_mut().for_each(|at| *at = at.start - from..at.end - from);
    cut
}
