//! Reads the rows of the input in batches, on a thread of its own.

use super::flatten::{Chains, Links};
use super::input::{RowSource, rewind};
use super::reader::{FirstRow, RowReader};
use super::row::Row;
use crate::cli::fault::CliFault;
use aka_wire::MAX_CREATES;
use futures::{StreamExt, stream, stream::BoxStream};
use std::io::Read;
use std::{mem, thread};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// A batch is also sent when it has this many bytes, so that with a last long row it still fits a
/// message.
const MESSAGE_BYTES: usize = 512 * 1024;
/// Rows are kept as they are written until they are answered. A batch of long ones is sent early.
const BATCH_BYTES: usize = 4 << 20;
/// Rows that name no alias are told at least so often.
const MOST_PASSED_OVER: u64 = 100_000;

/// Consecutive rows of the file.
#[derive(Default)]
pub(super) struct RowBatch {
    pub rows: Vec<Row>,
    /// How many rows among them name no alias, and are no mistake.
    pub passed_over: u64,
    /// The number of the last row.
    pub last: u64,
    message_bytes: usize,
    bytes: usize,
}

impl RowBatch {
    fn push(&mut self, number: u64, row: Option<Row>) {
        self.last = number;
        match row {
            Some(row) => {
                self.bytes += row.bytes();
                self.message_bytes += row.message_bytes();
                self.rows.push(row);
            }
            None => self.passed_over += 1,
        }
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= MAX_CREATES
            || self.message_bytes >= MESSAGE_BYTES
            || self.bytes >= BATCH_BYTES
            || self.passed_over >= MOST_PASSED_OVER
    }
}

/// What is read, and how.
pub(super) struct Plan {
    pub source: RowSource,
    pub reader: RowReader,
    pub from: FirstRow,
    /// With `--flatten`, how much memory its ids may take.
    pub flatten_mib: Option<u64>,
}

/// The rows of the input from the first wanted one on, in batches. A thread of its own reads up to
/// `ahead` batches ahead: the end of the command must not wait for a read that blocks.
pub(super) fn batches(plan: Plan, ahead: usize) -> BoxStream<'static, Result<RowBatch, CliFault>> {
    let (sender, receiver) = mpsc::channel(ahead);
    let spawned = thread::Builder::new().name("aka-import".to_owned()).spawn(move || {
        let read = plan.run(|batch| sender.blocking_send(Ok(batch)).is_ok());
        if let Err(fault) = read {
            let _ = sender.blocking_send(Err(fault));
        }
    });
    match spawned {
        Ok(_) => ReceiverStream::new(receiver).boxed(),
        Err(source) => {
            let fault = CliFault::Io { what: "cannot start the reader", source };
            stream::iter([Err(fault)]).boxed()
        }
    }
}

impl Plan {
    fn run(self, emit: impl FnMut(RowBatch) -> bool) -> Result<(), CliFault> {
        let Self { source, reader, from, flatten_mib } = self;
        let Some(most_mib) = flatten_mib else {
            return gather(&reader, source.reader(), from, None, emit);
        };
        let mut file = source.into_seekable()?;
        let again = |file: &std::fs::File| {
            file.try_clone()
                .map_err(|source| CliFault::Io { what: "cannot read the file twice", source })
        };
        let (mut links, mut added) = (Links::new(most_mib), Ok(()));
        // All rows count, also those before the first wanted one.
        reader.read(again(&file)?, FirstRow::Number(1), |_, row| {
            if let Some(Row { alias: Ok(row), .. }) = row {
                added = links.add(&row);
            }
            added.is_ok()
        })?;
        added?;
        rewind(&mut file)?;
        gather(&reader, file, from, Some(&links.ends()), emit)
    }
}

/// Hands over batches until the end, or until `emit` returns `false`.
fn gather(
    reader: &RowReader,
    input: impl Read + Send + 'static,
    from: FirstRow,
    chains: Option<&Chains>,
    mut emit: impl FnMut(RowBatch) -> bool,
) -> Result<(), CliFault> {
    let mut batch = RowBatch::default();
    let read = reader.read(input, from, |number, row| {
        batch.push(number, row.map(|row| flattened(row, chains)));
        !batch.is_full() || emit(mem::take(&mut batch))
    });
    // Rows before a fault are good.
    if batch.last > 0 {
        emit(batch);
    }
    read
}

fn flattened(mut row: Row, chains: Option<&Chains>) -> Row {
    if let (Some(chains), Ok(alias)) = (chains, &row.alias) {
        row.chain_end = chains.end_of(alias);
    }
    row
}
