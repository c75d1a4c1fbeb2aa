//! `aka alias update` and `aka alias delete`.

use super::session::{AdminSession, SharedArgs, for_each};
use super::view::{Change, ShownAlias};
use crate::cli::fault::CliFault;
use crate::cli::json_id::JsonId;
use crate::cli::lines;
use crate::cli::output::OutputFormat;
use crate::cli::print::{push_json, to_stdout};
use aka_wire::Quoted;
use aka_wire::pb;
use clap::Args;
use serde::Serialize;
use std::ffi::OsString;

/// Point an alias at another canonical id.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Example: see the version, then change exactly that:
  aka alias get --project 1 b1
  aka alias update --project 1 b1 b3 --expected-version 7")]
pub struct UpdateArgs {
    /// The id that stands for another
    #[arg(value_name = "ALIAS")]
    pub alias: OsString,

    /// The id that the alias stands for from now on
    #[arg(value_name = "CANONICAL")]
    pub canonical: OsString,

    /// The version that you saw; refused if the alias has changed since
    #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(u64).range(1..))]
    pub expected_version: u64,

    /// Print the consistency token too
    #[arg(long)]
    pub show_token: bool,

    #[command(flatten)]
    pub shared: SharedArgs,
}

/// Delete aliases. Events that are stored already are not changed.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  aka alias delete --project 1 b1 --expected-version 7
  aka alias delete --project 1 - < ids.txt")]
pub struct DeleteArgs {
    /// The aliases; a single - reads them from stdin, one a line
    #[arg(value_name = "ALIAS", required = true)]
    pub aliases: Vec<OsString>,

    /// The version that you saw; refused if the alias has changed since (one alias only)
    #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(u64).range(1..))]
    pub expected_version: Option<u64>,

    /// Print the consistency token too
    #[arg(long)]
    pub show_token: bool,

    #[command(flatten)]
    pub shared: SharedArgs,
}

pub(super) async fn update(args: UpdateArgs) -> Result<(), CliFault> {
    let mut admin = AdminSession::connect(&args.shared).await?;
    let alias_id = lines::argument(args.alias);
    let canonical_id = lines::argument(args.canonical);
    let message = pb::UpdateAliasRequest {
        project_id: admin.project_id,
        alias_id: alias_id.clone(),
        canonical_id: canonical_id.clone(),
        expected_version: args.expected_version,
    };
    let reply = admin.client.update_alias(admin.connection.request(message)).await;
    let reply = admin.connection.answer(reply).map_err(|fault| fault.about(&alias_id))?;
    let alias = reply.alias.ok_or_else(|| CliFault::malformed("the answer shows no alias"))?;
    // Only a write that changed nothing keeps the version.
    let change = match alias.version == args.expected_version {
        true => Change::Unchanged,
        false => Change::Updated,
    };
    let mut view = ShownAlias::of(&alias).asked_for(&canonical_id);
    view.consistency_token = Some(reply.consistency_token);
    view.print(change, admin.output, args.show_token)
}

/// What `delete` prints as JSON.
#[derive(Serialize)]
struct Deleted {
    project_id: String,
    #[serde(flatten)]
    alias_id: JsonId,
    deleted: bool,
    consistency_token: String,
}

pub(super) async fn delete(args: DeleteArgs) -> Result<(), CliFault> {
    if args.expected_version.is_some() && (args.aliases.len() > 1 || lines::is_dash(&args.aliases))
    {
        let message = "--expected-version is the version of one alias: name just one";
        return Err(CliFault::Usage(message.to_owned()));
    }
    let mut admin = AdminSession::connect(&args.shared).await?;
    for_each(args.aliases, admin.output, async |alias_id| {
        let message = pb::DeleteAliasRequest {
            project_id: admin.project_id,
            alias_id: alias_id.clone(),
            expected_version: args.expected_version.unwrap_or(0),
        };
        let reply = admin.client.delete_alias(admin.connection.request(message)).await;
        let consistency_token = admin.connection.answer(reply)?.consistency_token;
        let mut out = Vec::new();
        if admin.output == OutputFormat::Json {
            let project_id = admin.project_id.to_string();
            let alias_id = JsonId::alias(&alias_id);
            push_json(
                &mut out,
                &Deleted { project_id, alias_id, deleted: true, consistency_token },
            )?;
            return to_stdout(&out);
        }
        let mut text = format!("deleted: {} is no longer an alias\n", Quoted(&alias_id));
        if args.show_token {
            text.push_str(&format!("token: {consistency_token}\n"));
        }
        to_stdout(text.as_bytes())
    })
    .await
}
