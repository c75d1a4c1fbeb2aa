//! One batch, until each of its ids has an answer or an error.

use crate::attempt::{self, Answered};
use crate::budget;
use crate::error::{CallFault, ResolveError};
use crate::observer::Notice;
use crate::peer::Lease;
use crate::queue::{Answer, BatchKey, Waiting};
use crate::resolved::Resolved;
use crate::shared::Shared;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tonic::Code;

/// A batch on its way. Its end is told to the queue, however it comes.
pub(crate) struct BatchRun {
    shared: Arc<Shared>,
    key: BatchKey,
    /// The ids without an answer.
    rest: Vec<Waiting>,
    tried: Vec<SocketAddr>,
}

impl Drop for BatchRun {
    fn drop(&mut self) {
        self.shared.queue.done(&self.key);
    }
}

impl BatchRun {
    pub fn new(shared: Arc<Shared>, key: BatchKey, rest: Vec<Waiting>) -> Self {
        Self { shared, key, rest, tried: Vec::new() }
    }

    pub async fn run(mut self, lease: Option<Lease>) {
        let (mut lease, mut retry) = (lease, 0);
        loop {
            let now = Instant::now();
            // Whoever has given up needs no answer. What is late gets its error from its own clock.
            self.rest.retain(|waiting| waiting.until > now && !waiting.answer.is_closed());
            let Some(until) = self.rest.iter().map(|waiting| waiting.until).max() else { return };
            let fault = match lease.take() {
                None => nowhere(),
                Some(lease) => match self.attempt(until, lease).await {
                    Ok(()) => return,
                    Err(fault) => fault,
                },
            };
            let Some(pause) = self.pause(&fault, retry, until) else {
                return self.fail(&fault.error);
            };
            retry += 1;
            self.shared.hooks.tell(&Notice::Retry);
            tokio::time::sleep(pause).await;
            let free = self.shared.endpoints.acquire(&self.tried);
            match tokio::time::timeout_at(until, free).await {
                Ok(free) => lease = free,
                Err(_) => return self.fail(&ResolveError::DeadlineExceeded),
            }
        }
    }

    /// How long to wait before the next try; `None`: there is none.
    fn pause(&self, fault: &CallFault, retry: u32, until: Instant) -> Option<Duration> {
        if !fault.retry || retry >= self.shared.options.retries || !self.shared.budget.may_retry() {
            return None;
        }
        // The server that asks for a pause speaks for itself.
        let pause = match self.shared.endpoints.has_other(&self.tried) {
            true => Duration::ZERO,
            false => budget::pause(retry).max(fault.after.unwrap_or_default()),
        };
        (Instant::now() + pause < until).then_some(pause)
    }

    /// One try. Afterwards only the ids are left that another try can help.
    async fn attempt(&mut self, until: Instant, lease: Lease) -> Result<(), CallFault> {
        let Self { shared, key, rest, tried } = self;
        let answered = attempt::send(shared, key, rest, until, lease, tried).await?;
        let Answered { response, sent } = answered;
        let Some(answers) = answers(response, rest) else {
            let text = "the server answered for an id that was not asked for";
            let error = ResolveError::refused(Code::Internal, "MALFORMED_ANSWER", text);
            return Err(CallFault { error, retry: false, after: None, not_sent: false });
        };
        let mut left = None;
        let mut again = Vec::new();
        for (waiting, answer) in std::mem::take(rest).into_iter().zip(answers) {
            match answer {
                Err((error, true)) => {
                    left = Some(error);
                    again.push(waiting);
                }
                Err((error, false)) => give(waiting, Err(error)),
                Ok(resolved) => {
                    if let (Some(cache), None) = (&shared.cache, &key.token) {
                        cache.put(key.project, &waiting.id, &resolved, sent);
                    }
                    give(waiting, Ok(resolved));
                }
            }
        }
        *rest = again;
        match left {
            None => {
                shared.budget.earn();
                Ok(())
            }
            Some(error) => Err(CallFault { error, retry: true, after: None, not_sent: false }),
        }
    }

    fn fail(mut self, error: &ResolveError) {
        for waiting in std::mem::take(&mut self.rest) {
            give(waiting, Err(error.clone()));
        }
    }
}

/// The answer for each id, or its error and whether a retry can help. `None` if the response is not
/// one to these ids: then all of it may belong to others.
fn answers(
    response: aka_wire::pb::BatchResolveResponse,
    ids: &[Waiting],
) -> Option<Vec<Result<Resolved, (ResolveError, bool)>>> {
    let degraded = response.degraded;
    let unchanged = |waiting: &Waiting| Ok(Resolved::unchanged(waiting.id.clone(), degraded));
    let mut answers: Vec<_> = ids.iter().map(unchanged).collect();
    for found in response.aliases {
        let canonical = found.canonical_id;
        *answers.get_mut(found.index as usize)? =
            Ok(Resolved { canonical, is_alias: true, degraded });
    }
    for failure in response.failures {
        *answers.get_mut(failure.index as usize)? = Err(ResolveError::of_failure(&failure));
    }
    Some(answers)
}

/// The caller may have gone.
fn give(waiting: Waiting, answer: Answer) {
    let _ = waiting.answer.send(answer);
}

fn nowhere() -> CallFault {
    let error = ResolveError::unavailable("the names of the servers have no addresses");
    CallFault { error, retry: true, after: None, not_sent: true }
}
