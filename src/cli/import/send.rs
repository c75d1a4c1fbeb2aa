//! Sends batches of rows, and retries what a retry can help.

use super::order::{Order, PendingRow};
use super::read::RowBatch;
use super::refused::RefusedRow;
use super::row::Row;
use crate::cli::client::Connection;
use crate::cli::fault::CliFault;
use crate::cli::server_error::ServerError;
use aka_wire::pb::alias_admin_client::AliasAdminClient;
use aka_wire::pb::{BatchCreateAliasesRequest, CreateAliasRequest, CreateAliasResult};
use std::mem;
use std::time::{Duration, Instant};

/// The pause before the first retry. It doubles with each, up to the greatest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const GREATEST_PAUSE: Duration = Duration::from_secs(5);

/// What all calls of an import share.
pub(super) struct Sending {
    pub connection: Connection,
    pub order: Order,
    /// How long to retry.
    pub patience: Duration,
}

/// The results of a batch.
#[derive(Default)]
pub(super) struct Sent {
    pub created: u64,
    pub unchanged: u64,
    pub passed_over: u64,
    pub refused: Vec<RefusedRow>,
    /// The number of the last row.
    pub last: u64,
}

/// A batch on its way.
pub(super) struct Outbound {
    sent: Sent,
    /// In the file's order.
    waiting: Vec<PendingRow>,
    /// When the retries began that go on.
    retrying_since: Option<Instant>,
    pause: Duration,
}

impl Outbound {
    /// Takes up the rows of a batch. Batches must be taken up in the file's order, before any of
    /// them is sent.
    pub fn new(batch: RowBatch, order: &Order) -> Self {
        let (passed_over, last) = (batch.passed_over, batch.last);
        let mut sent = Sent { passed_over, last, ..Sent::default() };
        let mut waiting = Vec::with_capacity(batch.rows.len());
        for row in batch.rows {
            match row.asked().map(drop).map_err(Clone::clone) {
                Ok(()) => waiting.push(order.admit(row)),
                Err(fault) => sent.refused.push(RefusedRow { row, error: fault.into() }),
            }
        }
        Self { sent, waiting, retrying_since: None, pause: FIRST_PAUSE }
    }

    /// Sends the rows until each of them exists or is refused for good.
    pub async fn send(mut self, sending: &Sending) -> Result<Sent, CliFault> {
        while !self.waiting.is_empty() {
            let answer = sending.order.next_answer();
            let (ready, held) = sending.order.ready(mem::take(&mut self.waiting));
            if ready.is_empty() {
                self.waiting = held;
                answer.await;
                continue;
            }
            drop(answer);
            let again = self.call(sending, ready).await?;
            if again.is_empty() {
                self.retrying_since = None;
                self.pause = FIRST_PAUSE;
                self.waiting = held;
                continue;
            }
            // Rows that are retried are older than those that wait for them.
            self.waiting = [again, held].into_iter().flatten().collect();
            self.waiting.sort_unstable_by_key(|pending| pending.row.number);
            self.retrying_since.get_or_insert_with(Instant::now);
            tokio::time::sleep(self.pause).await;
            self.pause = (2 * self.pause).min(GREATEST_PAUSE);
        }
        self.sent.refused.sort_unstable_by_key(|refused| refused.row.number);
        Ok(self.sent)
    }

    /// One call. Returns the rows that must be sent again.
    async fn call(
        &mut self,
        sending: &Sending,
        ready: Vec<PendingRow>,
    ) -> Result<Vec<PendingRow>, CliFault> {
        let (began, order) = (Instant::now(), &sending.order);
        let first_try = self.retrying_since.unwrap_or(began);
        let results = create(&sending.connection, &ready).await;
        let last_try = began.duration_since(first_try) >= sending.patience;
        let results = match results {
            Ok(results) => results,
            Err(CliFault::Refused(error)) if !last_try && is_passing(&error) => return Ok(ready),
            Err(CliFault::Unreachable { .. }) if !last_try => return Ok(ready),
            Err(fault) => return Err(fault),
        };
        let mut again = Vec::new();
        for (pending, result) in ready.into_iter().zip(results) {
            match result {
                Err(error) if !last_try && is_passing(&error) => again.push(pending),
                Ok(created) => {
                    order.settle(pending);
                    *if created { &mut self.sent.created } else { &mut self.sent.unchanged } += 1;
                }
                Err(error) => {
                    let row = order.settle(pending);
                    self.sent.refused.push(RefusedRow { row, error });
                }
            }
        }
        order.announce();
        Ok(again)
    }
}

/// One call. For each row it returns whether it was created or existed, or why it was refused.
async fn create(
    connection: &Connection,
    rows: &[PendingRow],
) -> Result<Vec<Result<bool, ServerError>>, CliFault> {
    let message = BatchCreateAliasesRequest {
        requests: rows.iter().filter_map(|r| request(&r.row)).collect(),
    };
    let mut admin = AliasAdminClient::new(connection.channel.clone());
    let reply = admin.batch_create_aliases(connection.request(message)).await;
    let results = connection.answer(reply)?.results;
    if results.len() != rows.len() {
        return Err(CliFault::malformed("the server answered for more or fewer rows than asked"));
    }
    let settled = |result: CreateAliasResult| match (result.response, result.failure) {
        (Some(response), None) => Ok(Ok(response.created)),
        (None, Some(failure)) => {
            let error = ServerError::from_failure(failure, b"");
            Ok(Err(ServerError { item: None, ..error }))
        }
        _ => Err(CliFault::malformed("the answer is neither an alias nor a failure")),
    };
    results.into_iter().map(settled).collect()
}

/// What a row asks for. Each row that is sent asks for something.
fn request(row: &Row) -> Option<CreateAliasRequest> {
    let (alias, canonical_id) = row.asked().ok()?;
    Some(CreateAliasRequest {
        project_id: alias.project_id,
        alias_id: alias.alias_id.clone().into(),
        canonical_id: canonical_id.to_owned().into(),
        dry_run: false,
    })
}

/// Whether a retry may help. Creating an alias is safe to repeat, whatever the outcome was.
fn is_passing(error: &ServerError) -> bool {
    matches!(error.code, "UNAVAILABLE" | "DEADLINE_EXCEEDED")
        || matches!(error.reason.as_str(), "RETRY_LATER" | "OVERLOADED" | "QUOTA_EXCEEDED")
}
