//! `aka alias get` and `aka alias list`.

use super::session::{AdminSession, SharedArgs, for_each};
use super::view::{Change, ShownAlias};
use crate::cli::fault::CliFault;
use crate::cli::lines;
use crate::cli::output::OutputFormat;
use crate::cli::print::{to_stderr, to_stdout};
use aka_wire::Quoted;
use aka_wire::pb;
use clap::Args;
use std::ffi::OsString;

/// Show the canonical id of an alias, read from the primary database.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  aka alias get --project 1 b1
  aka alias get --project 1 --output json b1 | jq -r .version
  aka alias get --project 1 - < ids.txt")]
pub struct GetArgs {
    /// The aliases; a single - reads them from stdin, one a line
    #[arg(value_name = "ALIAS", required = true)]
    pub aliases: Vec<OsString>,

    #[command(flatten)]
    pub shared: SharedArgs,
}

/// List all aliases of a canonical id, ordered byte for byte.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  aka alias list --project 1 b2
  aka alias list --project 1 b2 | cut -f1

Text output is ALIAS<TAB>VERSION<TAB>UPDATE_TIME, one alias a line.")]
pub struct ListArgs {
    /// The canonical id
    #[arg(value_name = "CANONICAL")]
    pub canonical: OsString,

    /// Aliases in each page that is asked for; all pages are printed
    #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
    #[arg(value_parser = clap::value_parser!(i32).range(1..=1_000))]
    pub page_size: i32,

    #[command(flatten)]
    pub shared: SharedArgs,
}

pub(super) async fn get(args: GetArgs) -> Result<(), CliFault> {
    let mut admin = AdminSession::connect(&args.shared).await?;
    for_each(args.aliases, admin.output, async |alias_id| {
        let message = pb::GetAliasRequest { project_id: admin.project_id, alias_id };
        let reply = admin.client.get_alias(admin.connection.request(message)).await;
        let alias = admin.connection.answer(reply)?;
        ShownAlias::of(&alias).print(Change::Shown, admin.output, false)
    })
    .await
}

pub(super) async fn list(args: ListArgs) -> Result<(), CliFault> {
    let mut admin = AdminSession::connect(&args.shared).await?;
    let canonical_id = lines::argument(args.canonical);
    let mut page_token = String::new();
    let mut found = false;
    loop {
        let message = pb::ListAliasesRequest {
            project_id: admin.project_id,
            canonical_id: canonical_id.clone(),
            page_size: args.page_size,
            page_token,
        };
        let reply = admin.client.list_aliases(admin.connection.request(message)).await;
        let page = admin.connection.answer(reply)?;
        found |= !page.aliases.is_empty();
        let mut out = Vec::new();
        for alias in &page.aliases {
            ShownAlias::of(alias).push_row(&mut out, admin.output)?;
        }
        to_stdout(&out)?;
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    if !found && admin.output == OutputFormat::Text {
        to_stderr(&format!("aka: {} has no aliases", Quoted(&canonical_id)));
    }
    Ok(())
}
