//! The shared parts of the alias commands: options, the connection, and the loop over ids.

use crate::cli::client::{ClientArgs, Connection, ProjectArgs};
use crate::cli::fault::CliFault;
use crate::cli::output::{OutputArgs, OutputFormat};
use crate::cli::{lines, report};
use aka_wire::pb::alias_admin_client::AliasAdminClient;
use bytes::Bytes;
use clap::Args;
use futures::StreamExt;
use std::ffi::OsString;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;

/// The options that all alias commands share.
#[derive(Args, Clone, Debug)]
pub struct SharedArgs {
    #[command(flatten)]
    pub project: ProjectArgs,

    #[command(flatten)]
    pub output: OutputArgs,

    /// Why you do it, for the server's audit trail: printable ASCII, 256 characters of it are kept
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<MetadataValue<Ascii>>,

    #[command(flatten)]
    pub client: ClientArgs,
}

/// A connection to the admin service, and what all calls of one command have in common.
pub(super) struct AdminSession {
    pub client: AliasAdminClient<Channel>,
    pub connection: Connection,
    pub project_id: u64,
    pub output: OutputFormat,
}

impl AdminSession {
    pub async fn connect(shared: &SharedArgs) -> Result<Self, CliFault> {
        let mut connection = shared.client.connect().await?;
        if let Some(reason) = &shared.reason {
            connection.give_reason(reason.clone());
        }
        Ok(Self {
            client: AliasAdminClient::new(connection.channel.clone()),
            connection,
            project_id: shared.project.project,
            output: shared.output.output,
        })
    }
}

/// Runs `call` for each id, one after the other. If there are several, a refused id is reported and
/// does not stop the rest.
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
                    report::show(&fault, output);
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
