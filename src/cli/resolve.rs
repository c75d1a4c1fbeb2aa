//! `aka resolve`: the canonical id of each id.

use super::client::{ClientArgs, Connection, ProjectArgs};
use super::fault::CliFault;
use super::json_id::JsonId;
use super::lines::{self, Batch};
use super::output::{OutputArgs, OutputFormat};
use super::print::{push_json, to_stderr, to_stdout};
use super::report;
use super::server_error::ServerError;
use aka_wire::pb::{BatchResolveRequest, resolver_client::ResolverClient};
use bytes::Bytes;
use clap::Args;
use futures::StreamExt;
use serde::Serialize;
use std::ffi::OsString;

/// Batches under way at a time: the server works on the next one while the one before is printed.
const IN_FLIGHT: usize = 4;

const EXAMPLES: &str = "\
Examples:
  aka resolve --project 1 b1 b2
  cut -f3 events.tsv | aka resolve --project 1
  aka resolve --project 1 --with-input --keep-going < ids.txt 2> failed.txt
  aka resolve --project 1 --output json --token \"$TOKEN\" b1

An id that is not an alias is printed unchanged. Ids are compared byte for byte. From a line of \
stdin the line feed and one carriage return before it are removed, and a byte order mark before \
the first line; nothing else, and no spaces. Ids that are arguments are taken as they are. Put -- \
before an id that starts with a dash.

Exit codes: 0 ok, 1 refused by the server, 2 wrong usage, 69 server unreachable, 74 stdin or \
stdout failed.";

/// Print the canonical id of each id, in order, one a line.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ResolveArgs {
    /// The ids; without any, or with a single -, they are read from stdin, one a line
    #[arg(value_name = "ID")]
    pub ids: Vec<OsString>,

    #[command(flatten)]
    pub project: ProjectArgs,

    #[arg(long, help = "Print each line as INPUT<TAB>CANONICAL")]
    pub with_input: bool,

    /// Report an id that could not be resolved on stderr, leave out its line, and go on
    ///
    /// Needs --with-input or --output json: otherwise nothing would show which line is left out.
    #[arg(long)]
    pub keep_going: bool,

    /// Answer at least as fresh as the write that returned this token
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<String>,

    #[command(flatten)]
    pub output: OutputArgs,

    #[command(flatten)]
    pub client: ClientArgs,
}

/// Runs `aka resolve`.
pub async fn run(args: ResolveArgs) -> Result<(), CliFault> {
    let output = args.output.output;
    if args.keep_going && !args.with_input && output == OutputFormat::Text {
        let message = "--keep-going needs --with-input or --output json: otherwise nothing would \
                       show which line is left out";
        return Err(CliFault::Usage(message.to_owned()));
    }
    let connection = args.client.connect().await?;
    let batches = match lines::mean_stdin(&args.ids) {
        true => lines::stdin("ids, one a line,"),
        false => lines::arguments(args.ids),
    };
    let project_id = args.project.project;
    let consistency_token = args.token.unwrap_or_default();
    let mut answered = batches
        .map(|batch| ask(&connection, project_id, &consistency_token, batch))
        // In order, and each as soon as it is there: the next batch may take long.
        .buffered(IN_FLIGHT);
    let mut printer = Printer {
        output,
        with_input: args.with_input,
        keep_going: args.keep_going,
        warned: false,
        failed: 0,
        total: 0,
    };
    while let Some(answered) = answered.next().await {
        printer.print(answered?)?;
    }
    printer.finish()
}

/// The ids of a batch, each with the answer of the server.
struct Answered {
    items: Vec<(Bytes, IdAnswer)>,
    degraded: bool,
}

enum IdAnswer {
    NoAlias,
    AliasOf(Bytes),
    Failed(ServerError),
}

async fn ask(
    connection: &Connection,
    project_id: u64,
    consistency_token: &str,
    batch: Result<Batch, CliFault>,
) -> Result<Answered, CliFault> {
    let ids = batch?.lines;
    let message = BatchResolveRequest {
        project_id,
        distinct_ids: ids.clone(),
        consistency_token: consistency_token.to_owned(),
    };
    let mut client = ResolverClient::new(connection.channel.clone());
    let reply = client.batch_resolve(connection.request(message)).await;
    let reply = connection.answer(reply)?;
    let mut items: Vec<_> = ids.into_iter().map(|id| (id, IdAnswer::NoAlias)).collect();
    // With an index that was not asked for, every answer may belong to another id.
    let stray = || CliFault::malformed("the server answered for an id that was not asked for");
    for resolved in reply.aliases {
        let (_, answer) = items.get_mut(resolved.index as usize).ok_or_else(stray)?;
        *answer = IdAnswer::AliasOf(resolved.canonical_id);
    }
    for failure in reply.failures {
        let (id, answer) = items.get_mut(failure.index as usize).ok_or_else(stray)?;
        *answer = IdAnswer::Failed(ServerError::from_failure(failure, id));
    }
    Ok(Answered { items, degraded: reply.degraded })
}

/// A line of JSON output.
#[derive(Serialize)]
struct ResolvedLine {
    #[serde(flatten)]
    distinct_id: JsonId,
    #[serde(flatten)]
    canonical_id: JsonId,
    is_alias: bool,
    degraded: bool,
}

struct Printer {
    output: OutputFormat,
    with_input: bool,
    keep_going: bool,
    /// Whether the warning about degraded answers was printed.
    warned: bool,
    failed: u64,
    total: u64,
}

impl Printer {
    /// Prints a batch. Without `keep_going` it stops at the first id that failed, after the lines
    /// before it.
    fn print(&mut self, answered: Answered) -> Result<(), CliFault> {
        if answered.degraded && !self.warned && self.output == OutputFormat::Text {
            self.warned = true;
            to_stderr("aka: warning: some answers are degraded: the last known state, perhaps old");
        }
        let mut out = Vec::new();
        for (id, answer) in answered.items {
            self.total += 1;
            match answer {
                IdAnswer::NoAlias => {
                    self.push_line(&mut out, &id, &id, false, answered.degraded)?;
                }
                IdAnswer::AliasOf(canonical) => {
                    self.push_line(&mut out, &id, &canonical, true, answered.degraded)?;
                }
                IdAnswer::Failed(error) if self.keep_going => {
                    self.failed += 1;
                    report::show(&error.into(), self.output);
                }
                IdAnswer::Failed(error) => {
                    to_stdout(&out)?;
                    return Err(error.into());
                }
            }
        }
        to_stdout(&out)
    }

    fn push_line(
        &self,
        out: &mut Vec<u8>,
        id: &[u8],
        canonical: &[u8],
        is_alias: bool,
        degraded: bool,
    ) -> Result<(), CliFault> {
        if self.output == OutputFormat::Json {
            let distinct_id = JsonId::distinct(id);
            let canonical_id = JsonId::canonical(canonical);
            return push_json(out, &ResolvedLine { distinct_id, canonical_id, is_alias, degraded });
        }
        if self.with_input {
            out.extend_from_slice(id);
            out.push(b'\t');
        }
        out.extend_from_slice(canonical);
        out.push(b'\n');
        Ok(())
    }

    fn finish(self) -> Result<(), CliFault> {
        match self.failed {
            0 => Ok(()),
            failed => Err(CliFault::Partly { failed, total: self.total }),
        }
    }
}
