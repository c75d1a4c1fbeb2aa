//! `aka export`: all aliases, from the shards themselves.

use super::fault::CliFault;
use super::print::push_json;
use super::progress::Progress;
use super::rows::Format;
use super::spool::Spool;
use super::stores::open;
use crate::check::ShardSessions;
use crate::config::DatabaseFlags;
use crate::rpc::timestamp;
use crate::store::{Store, Stored};
use aka_core::domain::{ForwardRow, Micros};
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
output is long. An export that was interrupted must start again. aka import reads the output.")]
pub struct ExportArgs {
    #[command(flatten)]
    flags: DatabaseFlags,

    /// How rows are written
    #[arg(long, value_enum, default_value = "ndjson")]
    format: Format,
}

pub async fn run(args: ExportArgs) -> Result<(), CliFault> {
    let stores = open(args.flags)?;
    export(&stores, args.format).await
}

async fn export(stores: &[Box<dyn Store>], format: Format) -> Result<(), CliFault> {
    // While a snapshot is open, SQLite's log and MySQL's undo log keep all that is written. So no
    // snapshot waits for the reader of the output, who may be slow, or stop for the night.
    let mut out = Spool::new()?;
    let mut shards = ShardSessions::open(stores).await?;
    let mut progress = Progress::new();
    let read = read_all(&mut shards, stores.len(), format, &mut out, &mut progress).await;
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
    format: Format,
    out: &mut Spool,
    progress: &mut Progress,
) -> Result<u64, CliFault> {
    if format == Format::Csv {
        out.push(HEADER)?;
    }
    let mut rows = 0;
    for shard in 0..count {
        let session = shards.session(shard);
        session.begin_snapshot().await?;
        let mut after = None;
        loop {
            let page = session.scan_forward(after.as_ref(), PAGE).await?;
            out.push(&text(&page, format)?)?;
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
struct Exported<'a> {
    project_id: String,
    alias_id: &'a str,
    canonical_id: &'a str,
    version: String,
    create_time: Option<String>,
    update_time: Option<String>,
}

const HEADER: &[u8] = b"project_id,alias_id,canonical_id,version,create_time,update_time\n";

fn text(page: &[Stored<ForwardRow>], format: Format) -> Result<Vec<u8>, CliFault> {
    let mut out = Vec::new();
    let mut csv = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    for Stored { key, row, .. } in page {
        let (alias, canonical) = (key.id().to_text(), row.canonical.to_text());
        let exported = Exported {
            project_id: key.project().get().to_string(),
            alias_id: &alias,
            canonical_id: &canonical,
            version: row.version.to_string(),
            create_time: time(row.created),
            update_time: time(row.updated),
        };
        match format {
            Format::Ndjson => push_json(&mut out, &exported)?,
            Format::Csv => csv.serialize(exported).map_err(|error| cannot_encode(error.into()))?,
        }
    }
    match format {
        Format::Ndjson => Ok(out),
        Format::Csv => csv.into_inner().map_err(|error| cannot_encode(error.into_error())),
    }
}

fn time(time: Micros) -> Option<String> {
    timestamp(time).map(|time| time.to_string())
}

fn cannot_encode(source: std::io::Error) -> CliFault {
    CliFault::Io { what: "cannot encode", source }
}
