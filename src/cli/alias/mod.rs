//! `aka alias`: the admin calls from a terminal.

mod change;
mod create;
mod read;
mod view;

use crate::cli::client::{CliFault, ClientArgs, Connection, OutputArgs, OutputFormat, ProjectArgs};
use crate::cli::fault::finish;
use crate::cli::lines;
use aka_wire::pb::alias_admin_client::AliasAdminClient;
use bytes::Bytes;
use change::{DeleteArgs, UpdateArgs};
use clap::{Args, Subcommand};
use create::CreateArgs;
use futures::StreamExt;
use read::{GetArgs, ListArgs};
use std::{ffi::OsString, process::ExitCode};
use tonic::transport::Channel;

/// Create, show, list, re-point and delete aliases.
#[derive(Subcommand, Clone, Debug)]
pub enum AliasCommand {
    Create(CreateArgs),
    Get(GetArgs),
    List(ListArgs),
    Update(UpdateArgs),
    Delete(DeleteArgs),
}

/// What all the alias commands share.
#[derive(Args, Clone, Debug)]
pub struct SharedArgs {
    #[command(flatten)]
    pub project: ProjectArgs,

    #[command(flatten)]
    pub output: OutputArgs,

    #[command(flatten)]
    pub client: ClientArgs,
}

/// Runs `aka alias …`.
pub async fn run(command: AliasCommand) -> ExitCode {
    let shared = match &command {
        AliasCommand::Create(args) => &args.shared,
        AliasCommand::Get(args) => &args.shared,
        AliasCommand::List(args) => &args.shared,
        AliasCommand::Update(args) => &args.shared,
        AliasCommand::Delete(args) => &args.shared,
    };
    let output = shared.output.output;
    let result = match command {
        AliasCommand::Create(args) => create::create(args).await,
        AliasCommand::Get(args) => read::get(args).await,
        AliasCommand::List(args) => read::list(args).await,
        AliasCommand::Update(args) => change::update(args).await,
        AliasCommand::Delete(args) => change::delete(args).await,
    };
    finish(output, result)
}

/// What a command needs to make its calls.
pub(super) struct Admin {
    pub client: AliasAdminClient<Channel>,
    pub connection: Connection,
    pub project_id: u64,
    pub output: OutputFormat,
}

impl Admin {
    pub async fn connect(shared: &SharedArgs) -> Result<Self, CliFault> {
        let connection = shared.client.connect().await?;
        Ok(Self {
            client: AliasAdminClient::new(connection.channel.clone()),
            connection,
            project_id: shared.project.project,
            output: shared.output.output,
        })
    }
}

/// Runs `call` for each id, one after the other. Of several, one that the server refuses is reported
/// and does not stop the rest.
pub(super) async fn for_each(
    ids: Vec<OsString>,
    output: OutputFormat,
    mut call: impl AsyncFnMut(Bytes) -> Result<(), CliFault>,
) -> Result<(), CliFault> {
    let several = ids.len() > 1 || lines::is_dash(&ids);
    let mut batches = match lines::is_dash(&ids) {
        true => lines::stdin("aliases, one a line,"),
        false => lines::arguments(ids),
    };
    let (mut failed, mut total) = (0, 0);
    while let Some(batch) = batches.next().await {
        for id in batch?.lines {
            total += 1;
            match call(id.clone()).await.map_err(|fault| fault.about(&id)) {
                Err(fault @ CliFault::Refused(_)) if several => {
                    failed += 1;
                    fault.report(output);
                }
                result => result?,
            }
        }
    }
    match failed {
        0 => Ok(()),
        failed => Err(CliFault::Partly { failed, total }),
    }
}
