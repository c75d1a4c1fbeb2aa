//! The options of `aka rewrite`.

use super::event::{EventFormat, EventReader, Projects};
use super::resolve::OnUnavailable;
use crate::cli::client::ClientArgs;
use crate::cli::fault::CliFault;
use crate::cli::output::OutputArgs;
use aka_client::ClientOptions;
use clap::Args;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Replace the ids of events by their canonical ids.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  aka rewrite --project 1 < events.ndjson > rewritten.ndjson
  aka rewrite --project 1 --format segment --learn events.ndjson.gz | sink
  aka rewrite --projects tokens.txt --on-unavailable mark --rejects rejects.ndjson < events.json

Events are lines of JSON, or the elements of one array; plain, or compressed with gzip or zstd. \
Only the bytes of ids that are aliases change, and the order stays. What is rewritten may be \
rewritten again: nothing changes then.

Identity events (such as $identify of Mixpanel and PostHog, or alias of Segment) say which id \
stands for which. They are never rewritten. With --learn they create aliases, and the events \
after them see these.

An event that cannot be read is passed on unchanged, counted, and kept with the reason in the file \
of --rejects. An event whose ids cannot be looked up is never passed on as if they were no aliases.

Exit codes: 0 ok, 1 refused by the server (or, with --strict, an event was rejected), 2 wrong \
usage, 69 server unreachable, 74 reading or writing failed.")]
pub struct RewriteArgs {
    /// The files, one after the other; without any, or with a -, events are read from stdin
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// The project that all ids belong to
    #[arg(long, env = "AKA_PROJECT", value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=i64::MAX as u64))]
    #[arg(required_unless_present = "projects")]
    pub project: Option<u64>,

    /// The project of each token that events bear: lines of TOKEN and N
    #[arg(long, value_name = "FILE", conflicts_with = "project")]
    pub projects: Option<PathBuf>,

    /// Whose events they are
    #[arg(long, value_enum, default_value = "auto")]
    pub format: EventFormat,

    /// The fields that hold ids; OUTER.INNER is a field of an object
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    #[arg(required_if_eq("format", "fields"))]
    pub fields: Vec<String>,

    /// Make aliases of identity events
    #[arg(long)]
    pub learn: bool,

    /// What becomes of events whose ids cannot be looked up
    #[arg(long, value_enum, default_value = "wait")]
    pub on_unavailable: OnUnavailable,

    /// Keep the id that was replaced in a field of this name, beside the new one
    #[arg(long, value_name = "NAME")]
    pub keep_original: Option<String>,

    /// Where events that cannot be read, and facts that are refused, are added, as NDJSON
    #[arg(long, value_name = "FILE")]
    pub rejects: Option<PathBuf>,

    /// Remember here how many events were written, and go on behind them
    #[arg(long, value_name = "FILE")]
    pub resume_file: Option<PathBuf>,

    /// End with exit code 1 if an event was rejected
    #[arg(long)]
    pub strict: bool,

    #[command(flatten)]
    pub output: OutputArgs,

    #[command(flatten)]
    pub client: ClientArgs,
}

impl RewriteArgs {
    pub(super) fn reader(&self) -> Result<EventReader, CliFault> {
        if !self.fields.is_empty() && self.format != EventFormat::Fields {
            return Err(CliFault::Usage("--fields is for --format fields only".to_owned()));
        }
        let projects = match (&self.projects, self.project) {
            (Some(path), _) => Projects::ByToken(tokens(path)?),
            (None, Some(project)) => Projects::One(project),
            (None, None) => return Err(CliFault::Usage("name a --project".to_owned())),
        };
        Ok(EventReader { format: self.format, fields: self.fields.clone(), projects })
    }

    pub(super) fn client_options(&self) -> Result<ClientOptions, CliFault> {
        let (tls, token) = (&self.client.tls, &self.client.token);
        Ok(ClientOptions {
            timeout: Duration::from_millis(self.client.timeout_ms),
            connect_timeout: Duration::from_secs(3),
            when_full: aka_client::WhenFull::Wait,
            max_batch: 1_000,
            ca: tls.ca.clone(),
            cert: tls.cert.clone(),
            key: tls.key.clone(),
            // Read again while the command runs.
            token_file: token.token_file.clone(),
            token: token.token()?.map(|token| token.reveal().to_owned()),
            user_agent: concat!("aka-cli/", env!("CARGO_PKG_VERSION")).to_owned(),
            ..ClientOptions::to([self.client.server.to_string()])
        })
    }
}

/// The project of each token.
fn tokens(path: &Path) -> Result<HashMap<String, u64>, CliFault> {
    let wrong = |why: String| CliFault::Usage(format!("{}: {why}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let mut projects = HashMap::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let number = index + 1;
        let project = line.rsplit_once(char::is_whitespace).and_then(|(token, project)| {
            let project = project.parse().ok().filter(|n| (1..=i64::MAX as u64).contains(n))?;
            Some((token.trim().to_owned(), project))
        });
        let (token, project) =
            project.ok_or_else(|| wrong(format!("line {number} is no TOKEN and N")))?;
        if projects.insert(token, project).is_some_and(|known| known != project) {
            return Err(wrong(format!("line {number}: its token has another project above")));
        }
    }
    Ok(projects)
}
