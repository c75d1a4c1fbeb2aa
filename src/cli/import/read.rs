//! Reads the rows of the input in batches.

use crate::cli::fault::CliFault;
use crate::cli::rows::{self, AliasRow, Format, Line};
use aka_wire::MAX_CREATES;
use futures::{StreamExt, stream::BoxStream};
use std::io::Read;
use std::thread;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// A batch is also sent when it has this many bytes, so that with a last long row it still fits a
/// message.
const BATCH_BYTES: usize = 512 * 1024;

/// The rows of the input that begin on line `from_line` or later, in batches. A thread of its own
/// reads up to `ahead` batches ahead.
pub(super) fn batches(
    format: Format,
    input: Box<dyn Read + Send>,
    from_line: u64,
    ahead: usize,
) -> BoxStream<'static, Result<Vec<Line>, CliFault>> {
    let (sender, receiver) = mpsc::channel(ahead);
    let spawned = thread::Builder::new().name("aka-import".to_owned()).spawn(move || {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        let read = rows::read(format, input, |line| {
            if line.number >= from_line {
                bytes += line.row.as_ref().map_or(0, AliasRow::bytes);
                batch.push(line);
            }
            if batch.len() < MAX_CREATES && bytes < BATCH_BYTES {
                return true;
            }
            bytes = 0;
            sender.blocking_send(Ok(std::mem::take(&mut batch))).is_ok()
        });
        // Rows before a fault are good.
        if !batch.is_empty() {
            let _ = sender.blocking_send(Ok(batch));
        }
        if let Err(fault) = read {
            let _ = sender.blocking_send(Err(fault));
        }
    });
    match spawned {
        Ok(_) => ReceiverStream::new(receiver).boxed(),
        Err(source) => {
            let fault = CliFault::Io { what: "cannot start the reader", source };
            futures::stream::iter([Err(fault)]).boxed()
        }
    }
}
