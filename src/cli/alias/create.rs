//! `aka alias create`: one alias from the command line, or many from stdin.

use super::session::{AdminSession, SharedArgs};
use super::view::{Change, ShownAlias};
use crate::cli::fault::CliFault;
use crate::cli::json_id::JsonId;
use crate::cli::lines::{self, Batch};
use crate::cli::output::OutputFormat;
use crate::cli::print::{push_json, to_stdout};
use crate::cli::server_error::ServerError;
use crate::cli::text::printable;
use aka_wire::Quoted;
use aka_wire::pb;
use bytes::Bytes;
use clap::Args;
use futures::StreamExt;
use serde::Serialize;
use std::ffi::OsString;

/// Make an id stand for another.
#[derive(Args, Clone, Debug)]
#[command(override_usage = "aka alias create [OPTIONS] --project <N> [ALIAS CANONICAL]")]
#[command(after_help = "\
Examples:
  aka alias create --project 1 b1 b2
  aka alias create --project 1 b1 b2 --dry-run
  aka alias create --project 1 < pairs.tsv

Lines of stdin are ALIAS<TAB>CANONICAL; they may end in CRLF, and empty ones are skipped. They \
take effect and are answered in order, one answer a line. A refused line does not stop the rest, \
but the exit code is then 1. Creating an alias that exists already is safe: it is answered \"unchanged\".")]
pub struct CreateArgs {
    /// The id that will stand for another; without it, or with a -, pairs are read from stdin
    #[arg(value_name = "ALIAS")]
    pub alias: Option<OsString>,

    /// The id that it will stand for
    #[arg(value_name = "CANONICAL")]
    pub canonical: Option<OsString>,

    /// Say what would happen, and write nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Print the consistency token too
    #[arg(long)]
    pub show_token: bool,

    #[command(flatten)]
    pub shared: SharedArgs,
}

pub(super) async fn create(args: CreateArgs) -> Result<(), CliFault> {
    let (alias, canonical) = match (&args.alias, &args.canonical) {
        (Some(alias), Some(canonical)) => (alias.clone(), canonical.clone()),
        (Some(alias), None) if alias != "-" => {
            let message = "name the canonical id too, or no id at all to read pairs from stdin";
            return Err(CliFault::Usage(message.to_owned()));
        }
        _ => return create_from_stdin(&args).await,
    };
    let mut admin = AdminSession::connect(&args.shared).await?;
    let message = pb::CreateAliasRequest {
        project_id: admin.project_id,
        alias_id: lines::argument(alias),
        canonical_id: lines::argument(canonical),
        dry_run: args.dry_run,
    };
    let asked = message.clone();
    let reply = admin.client.create_alias(admin.connection.request(message)).await;
    let reply = admin.connection.answer(reply).map_err(|fault| fault.about(&asked.alias_id))?;
    let (view, change) = view(&asked, reply)?;
    view.print(change, admin.output, args.show_token && !args.dry_run)
}

/// A created alias as it is shown, and what happened to it.
fn view(
    asked: &pb::CreateAliasRequest,
    reply: pb::CreateAliasResponse,
) -> Result<(ShownAlias, Change), CliFault> {
    let alias = reply.alias.ok_or_else(|| CliFault::malformed("the answer shows no alias"))?;
    let change = match (reply.created, asked.dry_run) {
        (true, true) => Change::WouldCreate,
        (true, false) => Change::Created,
        (false, _) => Change::Unchanged,
    };
    let mut view = ShownAlias::of(&alias).asked_for(&asked.canonical_id);
    view.created = Some(reply.created);
    view.dry_run = asked.dry_run.then_some(true);
    view.consistency_token = (!asked.dry_run).then_some(reply.consistency_token);
    Ok((view, change))
}

/// One batch at a time, because a line may depend on lines of an earlier batch.
async fn create_from_stdin(args: &CreateArgs) -> Result<(), CliFault> {
    let mut admin = AdminSession::connect(&args.shared).await?;
    let mut batches = lines::stdin("ALIAS<TAB>CANONICAL lines");
    let (mut failed, mut total) = (0, 0);
    while let Some(batch) = batches.next().await {
        let (pairs, malformed) = parse(&batch?);
        if !pairs.is_empty() {
            total += pairs.len() as u64;
            failed += create_batch(&mut admin, pairs, args).await?;
        }
        if let Some(fault) = malformed {
            return Err(fault);
        }
    }
    match failed {
        0 => Ok(()),
        failed => Err(CliFault::Partly { failed, total }),
    }
}

/// A line of stdin.
#[derive(Debug, PartialEq)]
struct Pair {
    line: u64,
    alias: Bytes,
    canonical: Bytes,
}

/// The pairs up to the first line that is not a pair, and the fault of that line.
fn parse(batch: &Batch) -> (Vec<Pair>, Option<CliFault>) {
    let mut pairs = Vec::with_capacity(batch.lines.len());
    for (line, text) in (batch.first..).zip(&batch.lines) {
        if text.is_empty() {
            continue;
        }
        // No id that could be stored holds a tab, so a second one means that the line is misread.
        let mut tabs = (0..text.len()).filter(|&at| text[at] == b'\t');
        let (Some(tab), None) = (tabs.next(), tabs.next()) else {
            let message = format!(
                "line {line} is not ALIAS<TAB>CANONICAL: {}; stopped there, the lines before it \
                 were sent",
                Quoted(&text[..text.len().min(80)])
            );
            return (pairs, Some(CliFault::Usage(message)));
        };
        pairs.push(Pair { line, alias: text.slice(..tab), canonical: text.slice(tab + 1..) });
    }
    (pairs, None)
}

/// Sends a batch and prints a line for each pair; returns how many were refused.
async fn create_batch(
    admin: &mut AdminSession,
    pairs: Vec<Pair>,
    args: &CreateArgs,
) -> Result<u64, CliFault> {
    let requests: Vec<_> = pairs
        .iter()
        .map(|pair| pb::CreateAliasRequest {
            project_id: admin.project_id,
            alias_id: pair.alias.clone(),
            canonical_id: pair.canonical.clone(),
            dry_run: args.dry_run,
        })
        .collect();
    let message = pb::BatchCreateAliasesRequest { requests: requests.clone() };
    let reply = admin.client.batch_create_aliases(admin.connection.request(message)).await;
    let reply = admin.connection.answer(reply)?;
    if reply.results.len() != pairs.len() {
        return Err(CliFault::malformed(
            "the server answered for more or fewer aliases than asked",
        ));
    }
    let mut out = Vec::new();
    let mut failed = 0;
    for ((pair, asked), result) in pairs.iter().zip(&requests).zip(reply.results) {
        match (result.response, result.failure) {
            (Some(response), None) => {
                let (view, change) = view(asked, response)?;
                view.push(&mut out, change, admin.output)?;
            }
            (None, Some(failure)) => {
                failed += 1;
                push_refused(&mut out, pair, failure, admin.output)?;
            }
            _ => return Err(CliFault::malformed("the answer is neither an alias nor a failure")),
        }
    }
    if args.show_token && !args.dry_run && admin.output == OutputFormat::Text {
        out.extend_from_slice(format!("token: {}\n", reply.consistency_token).as_bytes());
    }
    to_stdout(&out)?;
    Ok(failed)
}

/// A line of JSON output for a pair that the server refused.
#[derive(Serialize)]
struct RefusedLine<'a> {
    #[serde(flatten)]
    alias_id: JsonId,
    #[serde(flatten)]
    canonical_id: JsonId,
    line: u64,
    error: &'a ServerError,
}

/// On stdout, not stderr: each line of input has its line of output, in order.
fn push_refused(
    out: &mut Vec<u8>,
    pair: &Pair,
    failure: pb::Failure,
    output: OutputFormat,
) -> Result<(), CliFault> {
    let error = ServerError { item: None, ..ServerError::from_failure(failure, &pair.alias) };
    if output == OutputFormat::Json {
        let alias_id = JsonId::alias(&pair.alias);
        let canonical_id = JsonId::canonical(&pair.canonical);
        let line = RefusedLine { alias_id, canonical_id, line: pair.line, error: &error };
        return push_json(out, &line);
    }
    let (line, alias) = (pair.line, Quoted(&pair.alias));
    let ServerError { reason, message, .. } = &error;
    let text =
        format!("refused: line {line}, {alias}: {}: {}\n", printable(reason), printable(message));
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_up_to_the_first_line_that_is_none() {
        let lines = ["a\tb", "", "c\td\r", "e", "f\tg"].map(Bytes::from).to_vec();
        let (pairs, fault) = parse(&Batch { first: 1_001, lines });
        let pair = |line, alias, canonical| Pair {
            line,
            alias: Bytes::from_static(alias),
            canonical: Bytes::from_static(canonical),
        };
        assert_eq!(pairs, [pair(1_001, b"a", b"b"), pair(1_003, b"c", b"d\r")]);
        assert!(matches!(fault, Some(CliFault::Usage(message)) if message.contains("line 1004 ")));
        let (_, fault) = parse(&Batch { first: 1, lines: vec!["a\tb\tc".into()] });
        assert!(fault.is_some());
    }
}
