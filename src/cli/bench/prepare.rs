//! `--prepare`: creates the aliases that the run expects, and reads every id once.

use crate::cli::client::Connection;
use crate::cli::fault::CliFault;
use crate::cli::server_error::ServerError;
use aka_load::{LoadId, LoadPlan};
use aka_wire::MAX_CREATES;
use aka_wire::pb::alias_admin_client::AliasAdminClient;
use aka_wire::pb::resolver_client::ResolverClient;
use aka_wire::pb::{BatchCreateAliasesRequest, BatchResolveRequest, CreateAliasRequest};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

/// The ids of one call that reads.
const READS: usize = 1_000;

/// Calls at a time. The server writes what waits in one transaction, so a few are faster than one.
const AT_ONCE: usize = 4;

/// The aliases of the run: those that had to be created, and those that were there.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Prepared {
    pub created: u64,
    pub unchanged: u64,
}

pub(super) async fn prepare(
    plan: &LoadPlan,
    connection: &Connection,
) -> Result<Prepared, CliFault> {
    let project_id = plan.project_id;
    let created = stream::iter(chunks(plan.ids.aliases(), MAX_CREATES))
        .map(|chunk| create(connection, project_id, chunk))
        .buffer_unordered(AT_ONCE)
        .try_fold(Prepared::default(), async |sum, one| {
            Ok(Prepared {
                created: sum.created + one.created,
                unchanged: sum.unchanged + one.unchanged,
            })
        })
        .await?;
    stream::iter(chunks(plan.ids.iter(), READS))
        .map(|chunk| read(connection, project_id, chunk))
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    Ok(created)
}

fn chunks(mut ids: impl Iterator<Item = LoadId>, size: usize) -> impl Iterator<Item = Vec<LoadId>> {
    std::iter::from_fn(move || {
        let chunk: Vec<_> = ids.by_ref().take(size).collect();
        (!chunk.is_empty()).then_some(chunk)
    })
}

async fn create(
    connection: &Connection,
    project_id: u64,
    ids: Vec<LoadId>,
) -> Result<Prepared, CliFault> {
    let request = |id: &LoadId| CreateAliasRequest {
        project_id,
        alias_id: Bytes::copy_from_slice(&id.id()),
        canonical_id: Bytes::copy_from_slice(&id.canonical()),
        dry_run: false,
    };
    let message = BatchCreateAliasesRequest { requests: ids.iter().map(request).collect() };
    let mut admin = AliasAdminClient::new(connection.channel.clone());
    let reply = admin.batch_create_aliases(connection.request(message)).await;
    let reply = connection.answer(reply)?;
    let mut prepared = Prepared::default();
    for (id, result) in ids.iter().zip(reply.results) {
        match (result.response, result.failure) {
            (Some(response), _) if response.created => prepared.created += 1,
            (Some(_), _) => prepared.unchanged += 1,
            (None, Some(failure)) => {
                return Err(ServerError::from_failure(failure, &id.id()).into());
            }
            (None, None) => {
                return Err(CliFault::malformed("the answer is neither an alias nor a failure"));
            }
        }
    }
    Ok(prepared)
}

/// Asks for the ids. The answers are not checked here, but in the run.
async fn read(connection: &Connection, project_id: u64, ids: Vec<LoadId>) -> Result<(), CliFault> {
    let message = BatchResolveRequest {
        project_id,
        distinct_ids: ids.iter().map(|id| Bytes::copy_from_slice(&id.id())).collect(),
        consistency_token: String::new(),
    };
    let mut resolver = ResolverClient::new(connection.channel.clone());
    let reply = resolver.batch_resolve(connection.request(message)).await;
    connection.answer(reply).map(drop)
}
