//! One try to have a batch answered: a call, and a second one if the first is slow.

use crate::clock;
use crate::error::CallFault;
use crate::observer::Notice;
use crate::peer::Lease;
use crate::queue::{BatchKey, Waiting};
use crate::shared::Shared;
use aka_wire::pb::resolver_client::ResolverClient;
use aka_wire::pb::{BatchResolveRequest, BatchResolveResponse};
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;
use tokio::time::Instant;

/// The answer to a batch.
pub(crate) struct Answered {
    pub response: BatchResolveResponse,
    /// When its request was sent, by [`clock::now`].
    pub sent: Duration,
}

/// What all calls of a try have in common.
struct Try<'a> {
    shared: &'a Shared,
    message: BatchResolveRequest,
    traceparent: Option<&'a str>,
    until: Instant,
}

/// Sends a batch. The addresses that it was sent to are added to `tried`.
pub(crate) async fn send(
    shared: &Shared,
    key: &BatchKey,
    ids: &[Waiting],
    until: Instant,
    lease: Lease,
    tried: &mut Vec<SocketAddr>,
) -> Result<Answered, CallFault> {
    tried.push(lease.0.address);
    let message = BatchResolveRequest {
        project_id: key.project,
        distinct_ids: ids.iter().map(|waiting| waiting.id.clone()).collect(),
        consistency_token: key.token.as_deref().unwrap_or_default().to_owned(),
    };
    let traceparent = ids.iter().find_map(|waiting| waiting.traceparent.as_deref());
    let this = Try { shared, message, traceparent, until };
    shared.budget.sent(ids.len());
    let Some(hedge_after) = shared.options.hedge_after else { return this.call(lease).await };
    let mut first = pin!(this.call(lease));
    tokio::select! {
        answered = &mut first => return answered,
        () = tokio::time::sleep(hedge_after) => {}
    }
    let Some(other) = shared.endpoints.other(tried) else { return first.await };
    if !shared.budget.may_hedge(ids.len()) {
        drop(other);
        return first.await;
    }
    shared.hooks.tell(&Notice::Hedge);
    tried.push(other.0.address);
    let mut second = pin!(this.call(other));
    // The first good answer counts. A failure leaves it to the other one.
    tokio::select! {
        answered = &mut first => match answered {
            Ok(answered) => Ok(answered),
            Err(_) => second.await,
        },
        answered = &mut second => match answered {
            Ok(answered) => Ok(answered),
            Err(_) => first.await,
        },
    }
}

impl Try<'_> {
    async fn call(&self, lease: Lease) -> Result<Answered, CallFault> {
        let (began, sent) = (Instant::now(), clock::now());
        let left = self.until.saturating_duration_since(began);
        let request = self.shared.request(self.message.clone(), left, self.traceparent);
        let mut client = ResolverClient::new(lease.0.channel.clone());
        let result = tokio::time::timeout_at(self.until, client.batch_resolve(request)).await;
        let answered = matches!(result, Ok(Ok(_)));
        let ids = self.message.distinct_ids.len();
        let latency = began.elapsed();
        self.shared.hooks.tell(&Notice::Call { ids, latency, answered });
        match result {
            Err(_) => Err(CallFault::late()),
            Ok(Ok(response)) => {
                self.shared.endpoints.answered(&lease.0);
                Ok(Answered { response: response.into_inner(), sent })
            }
            Ok(Err(status)) => {
                let fault = CallFault::of(&status);
                if fault.not_sent {
                    self.shared.endpoints.refused(&lease.0);
                }
                Err(fault)
            }
        }
    }
}
