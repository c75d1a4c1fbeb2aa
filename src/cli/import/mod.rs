//! `aka import`: creates the aliases of a file through the server.

mod blanks;
mod columns;
mod csv_fields;
mod csv_record;
mod fields;
mod flatten;
mod input;
mod json_fields;
mod mapping;
mod order;
mod preset;
mod read;
mod reader;
mod refused;
mod row;
mod send;

use super::client::ClientArgs;
use super::fault::CliFault;
use super::format::{Format, delimiter_of};
use super::output::{OutputArgs, OutputFormat};
use super::print::{push_json, report_to_stdout, to_stderr};
use super::progress::Progress;
use super::signals::StopSignals;
pub(super) use blanks::looks_padded;
use clap::Args;
use columns::ColumnArgs;
use futures::{Stream, StreamExt};
use input::RowSource;
use order::Order;
use read::Plan;
use reader::{FirstRow, RowReader};
use refused::{RefusedFile, default_refused};
use send::{Outbound, Sending, Sent};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

/// Calls at a time. Several are faster, because the server commits waiting jobs together.
const AT_ONCE: usize = 4;

/// Create the aliases that a file lists, one a row.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  aka import aliases.ndjson
  aka import aliases.csv.gz --refused not-imported.ndjson
  aka import people.csv --delimiter ';' --columns alias_id=old,canonical_id=new --project 1
  aka import events.ndjson.zst --preset segment --project 1
  aka export --sqlite old.db | aka import --server aka-1:50051

A row names project_id, alias_id and canonical_id: a JSON object a line, or CSV with a header, as \
UTF-8, plain or compressed with gzip or zstd. Other fields are not read: the service gives out \
its own versions and times. A quoted field of CSV may hold line breaks. A byte order mark and \
carriage returns at line ends are left out, and so are blanks around the names of a header. \
Blanks around an id are refused unless --blanks says what they mean; in quotes, and in JSON, they \
belong to the id. A whole number of JSON is the id that has its digits. A project may be written \
1.0.

Rows that touch the same id take effect in the order of the file. An alias that exists already \
counts as unchanged. So an import that was interrupted may be repeated as a whole, or from the \
row that it names; SIGINT (Ctrl-C) makes it say so and end with exit code 1.

Rows that are refused do not stop the rest. They go to a file, and the exit code is 1. Each \
stands there as it was, with its number, its line and the reason. They can be imported from that \
file, as it is, once the reason is gone.")]
pub struct ImportArgs {
    /// The file; without it, or with a -, rows are read from stdin
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,

    /// How rows are written [default: csv if the file's name ends in .csv or .tsv, before .gz or
    /// .zst, or if there is a --delimiter; else ndjson]
    #[arg(long, value_enum)]
    format: Option<Format>,

    /// Where refused rows are added, as NDJSON [default: FILE.refused.ndjson]
    #[arg(long, value_name = "FILE")]
    refused: Option<PathBuf>,

    /// Skip the rows before this one; the header and empty lines do not count
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    from_record: u64,

    /// Skip the rows that begin before this line of the file
    #[arg(long, value_name = "N", conflicts_with = "from_record")]
    from_line: Option<u64>,

    /// Resolve the chains within the file first: rows a,b and b,c become aliases of c
    ///
    /// The file is read twice. Rows whose chain goes round are refused.
    #[arg(long)]
    flatten: bool,

    /// How much memory the ids of the file may take for --flatten, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1_024, requires = "flatten")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1_048_576))]
    flatten_mib: u64,

    /// How long to retry what a retry can help, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    #[arg(value_parser = clap::value_parser!(u64).range(0..=86_400))]
    retry_s: u64,

    #[command(flatten)]
    pub output: OutputArgs,

    #[command(flatten)]
    client: ClientArgs,

    #[command(flatten)]
    columns: ColumnArgs,
}

/// How many rows were created, unchanged or refused.
#[derive(Clone, Debug, Default, Serialize)]
struct Imported {
    created: u64,
    unchanged: u64,
    refused: u64,
    /// Events that name no alias.
    #[serde(skip_serializing_if = "is_zero")]
    passed_over: u64,
    /// Where the refused rows are.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused_file: Option<PathBuf>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// How far an import is.
struct Importing {
    counts: Imported,
    progress: Progress,
    /// What is before this row is settled: created, unchanged, or in the file of refused rows.
    next: FirstRow,
}

impl ImportArgs {
    fn path(&self) -> Option<&Path> {
        self.file.as_deref().filter(|file| *file != Path::new("-"))
    }

    fn reader(&self) -> Result<RowReader, CliFault> {
        let (path, delimiter) = (self.path(), self.columns.delimiter);
        let format = self.format.unwrap_or_else(|| match (path, delimiter) {
            (_, Some(_)) => Format::Csv,
            (Some(path), None) => Format::of(path),
            (None, None) => Format::Ndjson,
        });
        if format == Format::Ndjson && delimiter.is_some() {
            return Err(CliFault::Usage("--delimiter is for --format csv only".to_owned()));
        }
        let delimiter = delimiter.unwrap_or_else(|| path.map_or(b',', delimiter_of));
        let mapping = self.columns.mapping()?;
        Ok(RowReader { format, delimiter, mapping, blanks: self.columns.blanks })
    }
}

pub async fn run(args: ImportArgs) -> Result<(), CliFault> {
    let stop = StopSignals::listen()?;
    let reader = args.reader()?;
    let source = RowSource::open(args.path())?;
    let connection = args.client.connect().await?;
    let refused = args.refused.clone().unwrap_or_else(|| default_refused(args.path()));
    let refused = RefusedFile::open(refused, source.metadata().as_ref())?;
    let from = args.from_line.map_or(FirstRow::Number(args.from_record), FirstRow::Line);
    let flatten_mib = args.flatten.then_some(args.flatten_mib);
    let patience = Duration::from_secs(args.retry_s);
    let sending = &Sending { connection, order: Order::default(), patience };
    let batches = read::batches(Plan { source, reader, from, flatten_mib }, AT_ONCE)
        .map(|batch| {
            let outbound = batch.map(|batch| Outbound::new(batch, &sending.order));
            async move { outbound?.send(sending).await }
        })
        .buffered(AT_ONCE);
    let (counts, progress) = (Imported::default(), Progress::new());
    let mut state = Importing { counts, progress, next: from };
    // At a signal the calls that are under way are dropped: creating an alias is safe to repeat.
    let ended = tokio::select! {
        ended = settle(batches, refused, &mut state) => ended,
        () = stop.first() => Err(CliFault::Interrupted),
    };
    let Importing { counts, progress, next } = state;
    progress.end("");
    if let Err(fault) = ended {
        if !matches!(fault, CliFault::Usage(_)) || next != from {
            let (place, option) = match next {
                FirstRow::Number(number) => (format!("row {number}"), "record"),
                FirstRow::Line(line) => (format!("line {line}"), "line"),
            };
            let (FirstRow::Number(number) | FirstRow::Line(number)) = next;
            to_stderr(&format!(
                "aka: stopped after {}; what is before {place} is done: \
                 go on with --from-{option} {number}",
                counts.text()
            ));
        }
        return Err(fault);
    }
    counts.print(args.output.output)?;
    match counts.refused {
        0 => Ok(()),
        failed => Err(CliFault::Partly { failed, total: counts.total() }),
    }
}

/// Takes the results of the batches, in the order of the file.
async fn settle(
    batches: impl Stream<Item = Result<Sent, CliFault>>,
    mut refused: RefusedFile,
    state: &mut Importing,
) -> Result<(), CliFault> {
    let mut batches = pin!(batches);
    let Importing { counts, progress, next } = state;
    while let Some(sent) = batches.next().await {
        let sent = sent?;
        sent.refused.iter().try_for_each(|row| refused.add(row))?;
        counts.created += sent.created;
        counts.unchanged += sent.unchanged;
        counts.passed_over += sent.passed_over;
        counts.refused += sent.refused.len() as u64;
        counts.refused_file = (counts.refused > 0).then(|| refused.path.clone());
        *next = FirstRow::Number(sent.last + 1);
        let note = match counts.refused {
            0 => String::new(),
            refused => format!(", {refused} refused"),
        };
        progress.show(counts.total() + counts.passed_over, &note);
    }
    Ok(())
}

impl Imported {
    /// How many rows named an alias, or should have.
    fn total(&self) -> u64 {
        self.created + self.unchanged + self.refused
    }

    fn text(&self) -> String {
        let Self { created, unchanged, refused, passed_over, refused_file } = self;
        let place = refused_file.iter().map(|path| format!(" (see {})", path.display()));
        let place: String = place.collect();
        let events = match passed_over {
            0 => String::new(),
            _ => format!(", {passed_over} events that name no alias"),
        };
        format!("{created} created, {unchanged} unchanged, {refused} refused{place}{events}")
    }

    fn print(&self, output: OutputFormat) -> Result<(), CliFault> {
        let mut out = Vec::new();
        match output {
            OutputFormat::Json => push_json(&mut out, self)?,
            OutputFormat::Text => out.extend(format!("{}\n", self.text()).into_bytes()),
        }
        report_to_stdout(&out)
    }
}
