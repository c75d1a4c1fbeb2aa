//! `--prepare`: the aliases that the run expects, and a server that has seen every key.

use super::args::BenchArgs;
use super::keys::{Key, Keys};
use crate::cli::client::Connection;
use crate::cli::fault::CliFault;
use crate::cli::server_error::ServerError;
use aka_wire::pb::alias_admin_client::AliasAdminClient;
use aka_wire::pb::resolver_client::ResolverClient;
use aka_wire::pb::{BatchCreateAliasesRequest, BatchResolveRequest, CreateAliasRequest};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

/// As many as the server takes in one call.
const CREATES: usize = 1_000;
const READS: usize = 1_000;

/// Calls at a time: the server's writers gather what waits for them.
const AT_ONCE: usize = 4;

/// Aliases of the run by whether they had to be created.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Prepared {
    pub created: u64,
    pub unchanged: u64,
}

pub(super) async fn prepare(
    args: &BenchArgs,
    keys: Keys,
    connection: &Connection,
) -> Result<Prepared, CliFault> {
    let project_id = args.project.project;
    let created = stream::iter(chunks(keys.aliases(), CREATES))
        .map(|chunk| create(connection, project_id, chunk))
        .buffer_unordered(AT_ONCE)
        .try_fold(Prepared::default(), async |sum, one| {
            Ok(Prepared {
                created: sum.created + one.created,
                unchanged: sum.unchanged + one.unchanged,
            })
        })
        .await?;
    stream::iter(chunks((0..keys.count).map(Key::known), READS))
        .map(|chunk| read(connection, project_id, chunk))
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    Ok(created)
}

fn chunks(mut keys: impl Iterator<Item = Key>, size: usize) -> impl Iterator<Item = Vec<Key>> {
    std::iter::from_fn(move || {
        let chunk: Vec<_> = keys.by_ref().take(size).collect();
        (!chunk.is_empty()).then_some(chunk)
    })
}

async fn create(
    connection: &Connection,
    project_id: u64,
    keys: Vec<Key>,
) -> Result<Prepared, CliFault> {
    let request = |key: &Key| CreateAliasRequest {
        project_id,
        alias_id: Bytes::copy_from_slice(&key.id()),
        canonical_id: Bytes::copy_from_slice(&key.canonical()),
        dry_run: false,
    };
    let message = BatchCreateAliasesRequest { requests: keys.iter().map(request).collect() };
    let mut admin = AliasAdminClient::new(connection.channel.clone());
    let reply = admin.batch_create_aliases(connection.request(message)).await;
    let reply = connection.answer(reply)?;
    let mut prepared = Prepared::default();
    for (key, result) in keys.iter().zip(reply.results) {
        match (result.response, result.failure) {
            (Some(response), _) if response.created => prepared.created += 1,
            (Some(_), _) => prepared.unchanged += 1,
            (None, Some(failure)) => {
                return Err(ServerError::from_failure(failure, &key.id()).into());
            }
            (None, None) => {
                return Err(CliFault::malformed("the answer is neither an alias nor a failure"));
            }
        }
    }
    Ok(prepared)
}

/// Asks for the keys. Whether the answers are right is for the run to see.
async fn read(connection: &Connection, project_id: u64, keys: Vec<Key>) -> Result<(), CliFault> {
    let message = BatchResolveRequest {
        project_id,
        distinct_ids: keys.iter().map(|key| Bytes::copy_from_slice(&key.id())).collect(),
        consistency_token: String::new(),
    };
    let mut resolver = ResolverClient::new(connection.channel.clone());
    let reply = resolver.batch_resolve(connection.request(message)).await;
    connection.answer(reply).map(drop)
}
