//! `aka import`: creates the aliases of a file through the server.

mod read;
mod refused;
mod send;

use super::client::ClientArgs;
use super::fault::CliFault;
use super::output::{OutputArgs, OutputFormat};
use super::print::{push_json, report_to_stdout, to_stderr};
use super::progress::Progress;
use super::rows::Format;
use super::signals::StopSignals;
use clap::Args;
use futures::{Stream, StreamExt};
use refused::{RefusedFile, default_refused};
use send::{Sent, send};
use serde::Serialize;
use std::fs::File;
use std::io::{self, Read};
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
  aka import aliases.csv --refused not-imported.ndjson
  aka export --sqlite old.db | aka import --server aka-1:50051

A row names project_id, alias_id and canonical_id: a JSON object a line, or CSV with a header. \
Other fields are not read: the service gives out its own versions and times. A quoted field of \
CSV may hold line breaks. Rows may take effect in any order. An alias that exists already counts \
as unchanged. So an import that was interrupted may be repeated as a whole, or from the line that \
it names; SIGINT (Ctrl-C) makes it say so and end with exit code 1.

Rows that are refused do not stop the rest. They go to a file, with the reason, and the exit \
code is 1. They can be imported from that file once the reason is gone.")]
pub struct ImportArgs {
    /// The file; without it, or with a -, rows are read from stdin
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,

    /// How rows are written [default: csv if the file's name ends so, else ndjson]
    #[arg(long, value_enum)]
    format: Option<Format>,

    /// Where refused rows are added, as NDJSON [default: FILE.refused.ndjson]
    #[arg(long, value_name = "FILE")]
    refused: Option<PathBuf>,

    /// Skip the rows that begin before this line of the file
    #[arg(long, value_name = "N", default_value_t = 1)]
    from_line: u64,

    /// How long to retry what a retry can help, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    #[arg(value_parser = clap::value_parser!(u64).range(0..=86_400))]
    retry_s: u64,

    #[command(flatten)]
    pub output: OutputArgs,

    #[command(flatten)]
    client: ClientArgs,
}

/// How many rows were created, unchanged or refused.
#[derive(Clone, Debug, Default, Serialize)]
struct Imported {
    created: u64,
    unchanged: u64,
    refused: u64,
    /// Where the refused rows are.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused_file: Option<PathBuf>,
}

/// How far an import is.
struct Importing {
    counts: Imported,
    progress: Progress,
    /// What is before this line is settled: created, unchanged, or in the file of refused rows.
    next_line: u64,
}

pub async fn run(args: ImportArgs) -> Result<(), CliFault> {
    let stop = StopSignals::listen()?;
    let file = args.file.as_deref().filter(|file| *file != Path::new("-"));
    let format = args.format.unwrap_or_else(|| file.map_or(Format::Ndjson, Format::of));
    let input: Box<dyn Read + Send> = match file {
        Some(file) => Box::new(File::open(file).map_err(|error| {
            CliFault::Usage(format!("cannot open {}: {error}", file.display()))
        })?),
        None => Box::new(io::stdin()),
    };
    let refused = RefusedFile::new(args.refused.clone().unwrap_or_else(|| default_refused(file)));
    let connection = args.client.connect().await?;
    let patience = Duration::from_secs(args.retry_s);
    let batches = read::batches(format, input, args.from_line, AT_ONCE)
        .map(|batch| async { send(&connection, batch?, patience).await })
        .buffered(AT_ONCE);
    let mut state = Importing {
        counts: Imported::default(),
        progress: Progress::new(),
        next_line: args.from_line,
    };
    // At a signal the calls that are under way are dropped: creating an alias is safe to repeat.
    let ended = tokio::select! {
        ended = settle(batches, refused, &mut state) => ended,
        () = stop.first() => Err(CliFault::Interrupted),
    };
    let Importing { counts, progress, next_line } = state;
    progress.end("");
    if let Err(fault) = ended {
        if !matches!(fault, CliFault::Usage(_)) || next_line > args.from_line {
            to_stderr(&format!(
                "aka: stopped after {}; what is before line {next_line} is done: \
                 go on with --from-line {next_line}",
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
    let Importing { counts, progress, next_line } = state;
    while let Some(sent) = batches.next().await {
        let sent = sent?;
        sent.refused.iter().try_for_each(|row| refused.add(row))?;
        counts.created += sent.created;
        counts.unchanged += sent.unchanged;
        counts.refused += sent.refused.len() as u64;
        counts.refused_file = (counts.refused > 0).then(|| refused.path.clone());
        *next_line = sent.last_line + 1;
        let note = match counts.refused {
            0 => String::new(),
            refused => format!(", {refused} refused"),
        };
        progress.show(counts.total(), &note);
    }
    Ok(())
}

impl Imported {
    fn total(&self) -> u64 {
        self.created + self.unchanged + self.refused
    }

    fn text(&self) -> String {
        let Self { created, unchanged, refused, refused_file } = self;
        let place = refused_file.iter().map(|path| format!(" (see {})", path.display()));
        let place: String = place.collect();
        format!("{created} created, {unchanged} unchanged, {refused} refused{place}")
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
