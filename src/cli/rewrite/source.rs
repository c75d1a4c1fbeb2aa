//! Reads events in a thread of its own, ahead of those that are looked up.

use super::event::{EventReader, Meaning};
use super::splitter::{Cut, Splitter};
use crate::cli::compressed::inflated;
use crate::cli::fault::CliFault;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::thread;
use tokio::sync::mpsc;

/// Chunks that may be read ahead.
const READ_AHEAD: usize = 4;

/// Consecutive events.
pub(super) struct EventChunk {
    pub cut: Cut,
    /// What each event says.
    pub meanings: Vec<Meaning>,
    /// The number of the first event, from 1, over all files.
    pub first: u64,
}

pub(super) type Chunks = mpsc::Receiver<Result<EventChunk, CliFault>>;

/// The events of these files, without the first `skip` ones and all that is before them.
pub(super) fn read(
    files: Vec<PathBuf>,
    reader: EventReader,
    skip: u64,
) -> Result<Chunks, CliFault> {
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    let spawned = thread::Builder::new().name("aka-events".to_owned()).spawn(move || {
        let mut emit = |chunk| sender.blocking_send(Ok(chunk)).is_ok();
        if let Err(fault) = read_all(&files, &reader, skip, &mut emit) {
            let _ = sender.blocking_send(Err(fault));
        }
    });
    spawned.map_err(|source| CliFault::Io { what: "cannot start the reader", source })?;
    Ok(receiver)
}

fn read_all(
    files: &[PathBuf],
    reader: &EventReader,
    skip: u64,
    emit: &mut dyn FnMut(EventChunk) -> bool,
) -> Result<(), CliFault> {
    let stdin = [PathBuf::from("-")];
    let files = if files.is_empty() { &stdin[..] } else { files };
    let mut before = 0;
    for file in files {
        let mut splitter = Splitter::new(match file == Path::new("-") {
            true => inflated(io::stdin())?,
            false => inflated(File::open(file).map_err(|error| {
                CliFault::Usage(format!("cannot open {}: {error}", file.display()))
            })?)?,
        });
        while let Some(cut) = splitter.next()? {
            let count = cut.events.len() as u64;
            let done = skip.saturating_sub(before).min(count);
            let first = before + done + 1;
            before += count;
            if done > 0 && done == count {
                continue;
            }
            let cut = without(cut, done as usize);
            let read = |at: &Range<usize>| reader.read(&cut.data[at.clone()]);
            let meanings = cut.events.iter().map(read).collect();
            if !emit(EventChunk { cut, meanings, first }) {
                return Ok(());
            }
        }
    }
    Ok(())
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
