//! `aka import`: aliases from a file, through the server, as many creates as there are rows.

use super::client::{CliFault, ClientArgs, Connection, OutputArgs, OutputFormat};
use super::fault::{Refusal, finish};
use super::print::{push_json, to_stderr, to_stdout};
use super::progress::Progress;
use super::rows::{self, Format, Line, Row};
use aka_wire::pb::alias_admin_client::AliasAdminClient;
use aka_wire::pb::{BatchCreateAliasesRequest, CreateAliasRequest, CreateAliasResult};
use clap::Args;
use futures::{StreamExt, stream::BoxStream};
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// As many as the server takes in one call.
const BATCH: usize = 1_000;

/// A batch is sent when it holds this much: with a last long row it still fits a message.
const BATCH_BYTES: usize = 512 * 1024;

/// Calls at a time: the server's writers gather what waits for them.
const AT_ONCE: usize = 4;

/// After a failure that a retry can help; it doubles up to the greatest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const GREATEST_PAUSE: Duration = Duration::from_secs(5);

/// Create the aliases that a file lists, one a row
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  aka import aliases.ndjson
  aka import aliases.csv --refused not-imported.ndjson
  aka export --sqlite old.db | aka import --server aka-1:50051

A row names project_id, alias_id and canonical_id: a JSON object a line, or CSV with a header. Other
fields are not read: versions and times are the new service's own. Rows may take effect in any order.
What is there already is safe: it counts as unchanged, so an import that broke off may be repeated
whole, or from the line that it names.

Rows that are refused do not stop the rest. They go to a file, with the reason, and can be imported
from there once it is gone; the exit code is then 1.")]
pub struct ImportArgs {
    /// The file; none, or a -, reads stdin
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,

    /// How rows are written [default: csv where the file's name ends so, else ndjson]
    #[arg(long, value_enum)]
    format: Option<Format>,

    /// Where refused rows are added, as NDJSON [default: FILE.refused.ndjson]
    #[arg(long, value_name = "FILE")]
    refused: Option<PathBuf>,

    /// Skip the lines before this one
    #[arg(long, value_name = "N", default_value_t = 1)]
    from_line: u64,

    /// How long to try again what a retry can help, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    #[arg(value_parser = clap::value_parser!(u64).range(0..=86_400))]
    retry_s: u64,

    #[command(flatten)]
    output: OutputArgs,

    #[command(flatten)]
    client: ClientArgs,
}

pub async fn run(args: ImportArgs) -> ExitCode {
    finish(args.output.output, import(args).await)
}

/// What became of the rows.
#[derive(Clone, Debug, Default, Serialize)]
struct Counts {
    created: u64,
    unchanged: u64,
    refused: u64,
    /// Where the refused rows are.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused_file: Option<PathBuf>,
}

async fn import(args: ImportArgs) -> Result<(), CliFault> {
    let file = args.file.as_deref().filter(|file| *file != Path::new("-"));
    let format = args.format.unwrap_or_else(|| file.map_or(Format::Ndjson, Format::of));
    let input: Box<dyn Read + Send> = match file {
        Some(file) => Box::new(File::open(file).map_err(|error| {
            CliFault::Usage(format!("cannot open {}: {error}", file.display()))
        })?),
        None => Box::new(io::stdin()),
    };
    let mut refused =
        RefusedFile::new(args.refused.clone().unwrap_or_else(|| default_refused(file)));
    let connection = args.client.connect().await?;
    let patience = Duration::from_secs(args.retry_s);
    let mut batches = batches(format, input, args.from_line)
        .map(|batch| async { send(&connection, batch?, patience).await })
        .buffered(AT_ONCE);
    let (mut counts, mut progress) = (Counts::default(), Progress::new());
    let mut next_line = args.from_line;
    while let Some(sent) = batches.next().await {
        let sent = sent.and_then(|sent| {
            sent.refused.iter().try_for_each(|row| refused.add(row)).map(|()| sent)
        });
        let sent = sent.inspect_err(|fault| {
            progress.end("");
            if !matches!(fault, CliFault::Usage(_)) || next_line > args.from_line {
                to_stderr(&format!(
                    "aka: stopped; what is before line {next_line} is done: go on with --from-line {next_line}"
                ));
            }
        })?;
        counts.created += sent.created;
        counts.unchanged += sent.unchanged;
        counts.refused += sent.refused.len() as u64;
        next_line = sent.last_line + 1;
        let note = match counts.refused {
            0 => String::new(),
            refused => format!(", {refused} refused"),
        };
        progress.show(counts.total(), &note);
    }
    progress.end("");
    counts.refused_file = (counts.refused > 0).then_some(refused.path);
    counts.print(args.output.output)?;
    match counts.refused {
        0 => Ok(()),
        failed => Err(CliFault::Partly { failed, total: counts.total() }),
    }
}

impl Counts {
    fn total(&self) -> u64 {
        self.created + self.unchanged + self.refused
    }

    fn print(&self, output: OutputFormat) -> Result<(), CliFault> {
        let mut out = Vec::new();
        if output == OutputFormat::Json {
            push_json(&mut out, self)?;
        } else {
            let Self { created, unchanged, refused, refused_file } = self;
            let place = refused_file.iter().map(|path| format!(" (see {})", path.display()));
            let place: String = place.collect();
            out = format!("{created} created, {unchanged} unchanged, {refused} refused{place}\n")
                .into_bytes();
        }
        to_stdout(&out)
    }
}

// ---- reading

/// The lines of the input, in batches, read ahead on a thread of their own.
fn batches(
    format: Format,
    input: Box<dyn Read + Send>,
    from_line: u64,
) -> BoxStream<'static, Result<Vec<Line>, CliFault>> {
    let (sender, receiver) = mpsc::channel(AT_ONCE);
    let spawned = thread::Builder::new().name("aka-import".to_owned()).spawn(move || {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        let read = rows::read(format, input, |line| {
            if line.number >= from_line {
                bytes += line.row.as_ref().map_or(0, Row::bytes);
                batch.push(line);
            }
            if batch.len() < BATCH && bytes < BATCH_BYTES {
                return true;
            }
            bytes = 0;
            sender.blocking_send(Ok(std::mem::take(&mut batch))).is_ok()
        });
        // What was read before a fault is good.
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

// ---- sending

/// What became of a batch.
#[derive(Default)]
struct Sent {
    created: u64,
    unchanged: u64,
    refused: Vec<RefusedRow>,
    last_line: u64,
}

/// A row that was not imported, as it is kept for another try.
#[derive(Serialize)]
struct RefusedRow {
    #[serde(flatten)]
    row: Option<Row>,
    line: u64,
    error: Refusal,
}

/// Sends rows until the server has said of each that it is there, or never will be.
async fn send(
    connection: &Connection,
    lines: Vec<Line>,
    patience: Duration,
) -> Result<Sent, CliFault> {
    let mut sent =
        Sent { last_line: lines.last().map_or(0, |line| line.number), ..Sent::default() };
    let mut waiting = Vec::with_capacity(lines.len());
    for Line { number, row } in lines {
        match row {
            Ok(row) => waiting.push((number, row)),
            Err(why) => {
                let error = Refusal::new(tonic::Code::InvalidArgument, "MALFORMED_ROW", &why);
                sent.refused.push(RefusedRow { row: None, line: number, error });
            }
        }
    }
    let (began, mut pause) = (Instant::now(), FIRST_PAUSE);
    while !waiting.is_empty() {
        let last_try = began.elapsed() >= patience;
        match create(connection, &waiting).await {
            Ok(results) => {
                let rows = std::mem::take(&mut waiting);
                for ((line, row), result) in rows.into_iter().zip(results) {
                    match result {
                        Ok(true) => sent.created += 1,
                        Ok(false) => sent.unchanged += 1,
                        Err(error) if !last_try && is_passing(&error) => waiting.push((line, row)),
                        Err(error) => {
                            sent.refused.push(RefusedRow { row: Some(row), line, error });
                        }
                    }
                }
            }
            Err(CliFault::Refused(refusal)) if !last_try && is_passing(&refusal) => {}
            Err(CliFault::Unreachable { .. }) if !last_try => {}
            Err(fault) => return Err(fault),
        }
        if !waiting.is_empty() {
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(GREATEST_PAUSE);
        }
    }
    sent.refused.sort_unstable_by_key(|row| row.line);
    Ok(sent)
}

/// One call. Of each row whether it was created, or why not.
async fn create(
    connection: &Connection,
    rows: &[(u64, Row)],
) -> Result<Vec<Result<bool, Refusal>>, CliFault> {
    let request = |(_, row): &(u64, Row)| CreateAliasRequest {
        project_id: row.project_id,
        alias_id: row.alias_id.clone().into(),
        canonical_id: row.canonical_id.clone().into(),
        dry_run: false,
    };
    let message = BatchCreateAliasesRequest { requests: rows.iter().map(request).collect() };
    let mut admin = AliasAdminClient::new(connection.channel.clone());
    let reply = admin.batch_create_aliases(connection.request(message)).await;
    let results = connection.answer(reply)?.results;
    if results.len() != rows.len() {
        return Err(CliFault::malformed("the server answered for more or fewer rows than asked"));
    }
    let settled = |(result, (_, row)): (CreateAliasResult, &(u64, Row))| match (
        result.response,
        result.failure,
    ) {
        (Some(response), None) => Ok(Ok(response.created)),
        (None, Some(failure)) => {
            let refusal = Refusal::from_failure(failure, row.alias_id.as_bytes());
            Ok(Err(Refusal { item: None, ..refusal }))
        }
        _ => Err(CliFault::malformed("the answer is neither an alias nor a failure")),
    };
    results.into_iter().zip(rows).map(settled).collect()
}

/// Whether another try may go better. Creating is safe to repeat, whatever became of it.
fn is_passing(refusal: &Refusal) -> bool {
    matches!(refusal.code, "UNAVAILABLE" | "DEADLINE_EXCEEDED")
        || matches!(refusal.reason.as_str(), "RETRY_LATER" | "OVERLOADED")
}

// ---- refused rows

/// A file that is there only if a row was refused. Rows are added: a second run loses none of the first.
struct RefusedFile {
    path: PathBuf,
    file: Option<File>,
}

impl RefusedFile {
    fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }

    fn add(&mut self, row: &RefusedRow) -> Result<(), CliFault> {
        let mut line = Vec::new();
        push_json(&mut line, row)?;
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let opened = OpenOptions::new().create(true).append(true).open(&self.path);
                none.insert(opened.map_err(cannot_write)?)
            }
        };
        file.write_all(&line).map_err(cannot_write)
    }
}

fn cannot_write(source: io::Error) -> CliFault {
    CliFault::Io { what: "cannot write the file of refused rows", source }
}

fn default_refused(file: Option<&Path>) -> PathBuf {
    let mut name = file.map_or_else(|| "aka-import".into(), |file| file.as_os_str().to_owned());
    name.push(".refused.ndjson");
    name.into()
}
