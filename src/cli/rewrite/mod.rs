//! `aka rewrite`: events in, events out, with canonical ids.

mod args;
mod event;
mod fields;
mod keep;
mod render;
mod resolve;
mod source;
mod splitter;

use super::fault::CliFault;
use super::output::OutputFormat;
use super::print::to_stderr;
use super::progress::Progress;
pub(super) use args::RewriteArgs;
use event::Meaning;
use futures::{StreamExt, stream};
use keep::{RejectedEvent, Rejects, ResumeFile};
use resolve::{Outcome, ResolveStep};
use serde::Serialize;
use source::EventChunk;
use std::io::{self, ErrorKind, Write};

/// Chunks that are looked up at a time, unless events are learnt from.
const AT_ONCE: usize = 4;

/// What became of the events.
#[derive(Debug, Default, Serialize)]
struct Rewritten {
    events: u64,
    /// At least one id was an alias.
    rewritten: u64,
    /// Identity events that are aliases now.
    learned: u64,
    rejected: u64,
    /// Events that could not be looked up, and say so.
    marked: u64,
    /// Events whose answers were the last known state, perhaps old.
    degraded: u64,
}

pub async fn run(args: RewriteArgs) -> Result<(), CliFault> {
    let reader = args.reader()?;
    let mut rejects = Rejects::open(args.rejects.as_deref())?;
    let resume = ResumeFile::new(args.resume_file.clone());
    let before = resume.read()?;
    let client = aka_client::Client::connect(args.client_options()?).await;
    let client = client.map_err(|error| CliFault::Usage(error.to_string()))?;
    let step = &ResolveStep {
        session: client.session(),
        learn: args.learn,
        on_unavailable: args.on_unavailable,
        server: args.client.server.to_string(),
    };
    let chunks = source::read(args.files.clone(), reader, before)?;
    let chunks = stream::unfold(chunks, async |mut chunks| Some((chunks.recv().await?, chunks)));
    // A fact must be settled before the events after it are looked up.
    let at_once = if args.learn { 1 } else { AT_ONCE };
    let mut chunks = std::pin::pin!(
        chunks
            .map(|chunk| async move {
                let chunk = chunk?;
                let outcomes = step.run(&chunk.meanings).await?;
                Ok::<_, CliFault>((chunk, outcomes))
            })
            .buffered(at_once)
    );
    let (mut counts, mut progress) = (Rewritten::default(), Progress::new());
    let mut out = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let (chunk, outcomes) = chunk?;
        out.clear();
        let original = args.keep_original.as_deref();
        write_chunk(&mut out, &chunk, &outcomes, original, &mut rejects, &mut counts)?;
        write_out(&out)?;
        resume.write(&chunk.written)?;
        progress.show(counts.events, "");
    }
    progress.end("");
    counts.say(args.output.output);
    match counts.rejected {
        rejected if rejected > 0 && args.strict => {
            Err(CliFault::Partly { failed: rejected, total: counts.events })
        }
        _ => Ok(()),
    }
}

/// Appends a chunk as it is written, and counts what became of its events.
fn write_chunk(
    out: &mut Vec<u8>,
    chunk: &EventChunk,
    outcomes: &[Outcome],
    original: Option<&str>,
    rejects: &mut Rejects,
    counts: &mut Rewritten,
) -> Result<(), CliFault> {
    let mut done = 0;
    let data = &chunk.cut.data;
    let events = chunk.cut.events.iter().zip(&chunk.meanings).zip(outcomes);
    for (number, ((at, meaning), outcome)) in (chunk.first..).zip(events) {
        out.extend_from_slice(&data[done..at.start]);
        done = at.end;
        let text = &data[at.clone()];
        counts.events += 1;
        let mut reject = |reason: &str| {
            counts.rejected += 1;
            let text = &String::from_utf8_lossy(text);
            rejects.add(&RejectedEvent { event: number, reason, text })
        };
        match (meaning, outcome) {
            (Meaning::Ids { ids, .. }, Outcome::Resolved { canonicals, degraded }) => {
                counts.degraded += u64::from(*degraded);
                counts.rewritten += u64::from(canonicals.iter().any(Option::is_some));
                render::rewritten(out, text, ids, canonicals, original);
                continue;
            }
            (_, Outcome::Unresolved) => {
                counts.marked += 1;
                render::marked(out, text);
                continue;
            }
            (Meaning::Broken(reason), _) => reject(reason)?,
            (_, Outcome::NotLearned(reason)) => reject(reason)?,
            (_, Outcome::Learned) => counts.learned += 1,
            (_, Outcome::Resolved { .. } | Outcome::Passed) => {}
        }
        out.extend_from_slice(text);
    }
    out.extend_from_slice(&data[done..]);
    Ok(())
}

/// Every byte stays, also on a terminal: the events are data.
fn write_out(bytes: &[u8]) -> Result<(), CliFault> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|source| match source.kind() {
        ErrorKind::BrokenPipe => CliFault::Closed,
        _ => CliFault::Io { what: "cannot write to stdout", source },
    })
}

impl Rewritten {
    /// Says on stderr what was done: stdout has the events.
    fn say(&self, output: OutputFormat) {
        let Self { events, rewritten, learned, rejected, marked, degraded } = self;
        to_stderr(&match output {
            OutputFormat::Json => serde_json::to_string(self).unwrap_or_default(),
            OutputFormat::Text => format!(
                "aka: {events} events: {rewritten} rewritten, {learned} learned, {rejected} \
                 rejected, {marked} marked, {degraded} degraded"
            ),
        });
    }
}
