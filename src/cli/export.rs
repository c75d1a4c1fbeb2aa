//! `aka export`: all aliases, from the shards themselves.

use super::fault::CliFault;
use super::format::Format;
use super::import::looks_padded;
use super::print::push_json;
use super::progress::Progress;
use super::spool::Spool;
use super::stores::open;
use crate::check::ShardSessions;
use crate::config::DatabaseFlags;
use crate::rpc::timestamp;
use crate::store::{Store, Stored};
use aka_core::domain::{ForwardRow, Micros};
use csv::{QuoteStyle, WriterBuilder};
use serde::Serialize;

/// Rows for each query.
const PAGE: u32 = 2_000;

/// Flags of `aka export`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  aka export > aliases.ndjson
  aka export --format csv --shard mysql://aka@db0/aka --shard mysql://aka@db1/aka > aliases.csv

It reads the databases directly, one shard after the other, each as it was at one moment. It may \
run beside a live service: a database keeps that moment only as long as it takes to read it. What \
the reader of the output has not taken by then waits in a temporary file without a name, in the \
folder that TMPDIR names (/tmp if it names none). A slow reader needs as much disk there as the \
output is long. An export that was interrupted must start again. aka import reads the output, but \
for ids that --guard-formulas has changed.")]
pub struct ExportArgs {
    #[command(flatten)]
    flags: DatabaseFlags,

    /// How rows are written
    #[arg(long, value_enum, default_value = "ndjson")]
    format: Format,

    /// In CSV, put a ' before ids that a spreadsheet would run as formulas
    ///
    /// Those are the ids that begin with = + - @, a tab or a carriage return. For people who open the
    /// file: an id that was changed so is another id when it is imported.
    #[arg(long)]
    guard_formulas: bool,
}

/// How rows are written.
#[derive(Clone, Copy)]
struct Style {
    format: Format,
    guard_formulas: bool,
}

pub async fn run(args: ExportArgs) -> Result<(), CliFault> {
    let ExportArgs { flags, format, guard_formulas } = args;
    if guard_formulas && format != Format::Csv {
        return Err(CliFault::Usage("--guard-formulas is for --format csv only".to_owned()));
    }
    export(&open(flags)?, Style { format, guard_formulas }).await
}

async fn export(stores: &[Box<dyn Store>], style: Style) -> Result<(), CliFault> {
    // While a snapshot is open, SQLite's log and MySQL's undo log keep all that is written. So no
    // snapshot waits for the reader of the output, who may be slow, or stop for the night.
    let mut out = Spool::new()?;
    let mut shards = ShardSessions::open(stores).await?;
    let mut progress = Progress::new();
    let read = read_all(&mut shards, stores.len(), style, &mut out, &mut progress).await;
    shards.close().await;
    // Also if a shard failed: the output must not end within a row.
    let written = out.finish().await;
    let count = read?;
    written?;
    progress.end(&format!("{count} aliases exported\n"));
    Ok(())
}

/// Puts the rows of all shards into the spool. Returns how many there are.
async fn read_all(
    shards: &mut ShardSessions,
    count: usize,
    style: Style,
    out: &mut Spool,
    progress: &mut Progress,
) -> Result<u64, CliFault> {
    if style.format == Format::Csv {
        out.push(HEADER)?;
    }
    let mut rows = 0;
    for shard in 0..count {
        let session = shards.session(shard);
        session.begin_snapshot().await?;
        let mut after = None;
        loop {
            let page = session.scan_forward(after.as_ref(), PAGE).await?;
            out.push(&text(&page, style)?)?;
            rows += page.len() as u64;
            progress.show(rows, "");
            if page.len() < PAGE as usize {
                break;
            }
            after = page.into_iter().last();
        }
        session.rollback().await?;
    }
    Ok(rows)
}

/// An alias as it is shown everywhere: 64-bit numbers are strings, as in proto3 JSON.
#[derive(Serialize)]
struct Exported {
    project_id: String,
    alias_id: String,
    canonical_id: String,
    version: String,
    create_time: Option<String>,
    update_time: Option<String>,
}

const HEADER: &[u8] = b"project_id,alias_id,canonical_id,version,create_time,update_time\n";

fn text(page: &[Stored<ForwardRow>], style: Style) -> Result<Vec<u8>, CliFault> {
    let rows = page.iter().map(|stored| exported(stored, style));
    if style.format == Format::Ndjson {
        let mut out = Vec::new();
        rows.into_iter().try_for_each(|row| push_json(&mut out, &row))?;
        return Ok(out);
    }
    let rows: Vec<_> = rows.collect();
    // Only in quotes do blanks at the ends of an id belong to it without a doubt.
    let padded = |row: &Exported| looks_padded(&row.alias_id) || looks_padded(&row.canonical_id);
    let quotes = match rows.iter().any(padded) {
        true => QuoteStyle::Always,
        false => QuoteStyle::Necessary,
    };
    let mut csv =
        WriterBuilder::new().has_headers(false).quote_style(quotes).from_writer(Vec::new());
    for row in rows {
        csv.serialize(row).map_err(|error| cannot_encode(error.into()))?;
    }
    csv.into_inner().map_err(|error| cannot_encode(error.into_error()))
}

fn exported(Stored { key, row, .. }: &Stored<ForwardRow>, style: Style) -> Exported {
    let shown = |id: String| match style.guard_formulas && id.starts_with(FORMULA_STARTS) {
        true => format!("'{id}"),
        false => id,
    };
    Exported {
        project_id: key.project().get().to_string(),
        alias_id: shown(key.id().to_text()),
        canonical_id: shown(row.canonical.to_text()),
        version: row.version.to_string(),
        create_time: time(row.created),
        update_time: time(row.updated),
    }
}

/// What makes a spreadsheet run a cell.
const FORMULA_STARTS: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

fn time(time: Micros) -> Option<String> {
    timestamp(time).map(|time| time.to_string())
}

fn cannot_encode(source: std::io::Error) -> CliFault {
    CliFault::Io { what: "cannot encode", source }
}
