//! Sends batches of rows, and retries what a retry can help.

use super::refused::RefusedRow;
use crate::cli::client::Connection;
use crate::cli::fault::CliFault;
use crate::cli::rows::{AliasRow, Line};
use crate::cli::server_error::ServerError;
use aka_wire::pb::alias_admin_client::AliasAdminClient;
use aka_wire::pb::{BatchCreateAliasesRequest, CreateAliasRequest, CreateAliasResult};
use std::time::{Duration, Instant};

/// The pause before the first retry. It doubles with each, up to the greatest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const GREATEST_PAUSE: Duration = Duration::from_secs(5);

/// The results of a batch.
#[derive(Default)]
pub(super) struct Sent {
    pub created: u64,
    pub unchanged: u64,
    pub refused: Vec<RefusedRow>,
    pub last_line: u64,
}

/// Sends rows until each of them exists or is refused for good. `patience` limits the retries.
pub(super) async fn send(
    connection: &Connection,
    lines: Vec<Line>,
    patience: Duration,
) -> Result<Sent, CliFault> {
    let mut sent = Sent { last_line: lines.last().map_or(0, |line| line.last), ..Sent::default() };
    let mut waiting = Vec::with_capacity(lines.len());
    for Line { number, row, .. } in lines {
        match row {
            Ok(row) => waiting.push((number, row)),
            Err(why) => {
                let error = ServerError::new(tonic::Code::InvalidArgument, "MALFORMED_ROW", &why);
                sent.refused.push(RefusedRow { row: None, line: number, error });
            }
        }
    }
    let (began, mut pause) = (Instant::now(), FIRST_PAUSE);
    while !waiting.is_empty() {
        let last_try = began.elapsed() >= patience;
        match create(connection, &waiting).await {
            Ok(results) => {
                let rows = std::mem::take(&mut waiting);
                for ((line, row), result) in rows.into_iter().zip(results) {
                    match result {
                        Ok(true) => sent.created += 1,
                        Ok(false) => sent.unchanged += 1,
                        Err(error) if !last_try && is_passing(&error) => waiting.push((line, row)),
                        Err(error) => {
                            sent.refused.push(RefusedRow { row: Some(row), line, error });
                        }
                    }
                }
            }
            Err(CliFault::Refused(error)) if !last_try && is_passing(&error) => {}
            Err(CliFault::Unreachable { .. }) if !last_try => {}
            Err(fault) => return Err(fault),
        }
        if !waiting.is_empty() {
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(GREATEST_PAUSE);
        }
    }
    sent.refused.sort_unstable_by_key(|row| row.line);
    Ok(sent)
}

/// One call. For each row it returns whether it was created or existed, or why it was refused.
async fn create(
    connection: &Connection,
    rows: &[(u64, AliasRow)],
) -> Result<Vec<Result<bool, ServerError>>, CliFault> {
    let request = |(_, row): &(u64, AliasRow)| CreateAliasRequest {
        project_id: row.project_id,
        alias_id: row.alias_id.clone().into(),
        canonical_id: row.canonical_id.clone().into(),
        dry_run: false,
    };
    let message = BatchCreateAliasesRequest { requests: rows.iter().map(request).collect() };
    let mut admin = AliasAdminClient::new(connection.channel.clone());
    let reply = admin.batch_create_aliases(connection.request(message)).await;
    let results = connection.answer(reply)?.results;
    if results.len() != rows.len() {
        return Err(CliFault::malformed("the server answered for more or fewer rows than asked"));
    }
    let settled = |(result, (_, row)): (CreateAliasResult, &(u64, AliasRow))| match (
        result.response,
        result.failure,
    ) {
        (Some(response), None) => Ok(Ok(response.created)),
        (None, Some(failure)) => {
            let error = ServerError::from_failure(failure, row.alias_id.as_bytes());
            Ok(Err(ServerError { item: None, ..error }))
        }
        _ => Err(CliFault::malformed("the answer is neither an alias nor a failure")),
    };
    results.into_iter().zip(rows).map(settled).collect()
}

/// Whether a retry may help. Creating an alias is safe to repeat, whatever the outcome was.
fn is_passing(error: &ServerError) -> bool {
    matches!(error.code, "UNAVAILABLE" | "DEADLINE_EXCEEDED")
        || matches!(error.reason.as_str(), "RETRY_LATER" | "OVERLOADED")
}
