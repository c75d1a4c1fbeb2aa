//! The Resolver service: messages in, messages out.

use super::deadline::{deadline, stream_end};
use super::pb::resolver_server::Resolver;
use super::pb::{
    BatchResolveRequest, BatchResolveResponse, ResolveRequest, ResolveResponse, Resolved,
};
use super::status::{self, Fault};
use crate::clock::Boottime;
use crate::resolve::{self, Deadline, Resolution};
use futures::stream::{BoxStream, StreamExt};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

/// Requests of one stream that are worked on at once. Their answers stay in order.
const STREAM_AHEAD: usize = 2;

pub(super) struct ResolverService {
    pub resolver: Arc<resolve::Resolver>,
    /// How long the server works on one request.
    pub limit: Duration,
    pub stopping: CancellationToken,
}

#[tonic::async_trait]
impl Resolver for ResolverService {
    async fn resolve(
        &self,
        request: Request<ResolveRequest>,
    ) -> Result<Response<ResolveResponse>, Status> {
        let deadline = deadline(request.metadata(), self.limit);
        let ResolveRequest { project_id, distinct_id, consistency_token } = request.into_inner();
        let ids = std::slice::from_ref(&distinct_id);
        let resolution = self.resolver.resolve(project_id, ids, &consistency_token, deadline).await;
        let Resolution { mut aliases, failures, degraded } =
            resolution.map_err(|refusal| status::read(&refusal))?;
        if let Some(&(_, failure)) = failures.first() {
            return Err(status::lookup(failure).into());
        }
        let alias = aliases.pop();
        Ok(Response::new(ResolveResponse {
            is_alias: alias.is_some(),
            canonical_id: alias.map_or(distinct_id, |(_, canonical)| canonical),
            degraded,
        }))
    }

    async fn batch_resolve(
        &self,
        request: Request<BatchResolveRequest>,
    ) -> Result<Response<BatchResolveResponse>, Status> {
        let deadline = deadline(request.metadata(), self.limit);
        batch(&self.resolver, request.into_inner(), deadline).await.map(Response::new)
    }

    type StreamResolveStream = BoxStream<'static, Result<BatchResolveResponse, Status>>;

    async fn stream_resolve(
        &self,
        request: Request<Streaming<BatchResolveRequest>>,
    ) -> Result<Response<Self::StreamResolveStream>, Status> {
        let (resolver, limit) = (self.resolver.clone(), self.limit);
        let end = stream_end(request.metadata());
        let requests = until_stopped(request.into_inner(), self.stopping.clone());
        let answers = requests
            .map(move |request| {
                let resolver = resolver.clone();
                async move {
                    let arrived = Boottime::now();
                    let until = arrived.plus(limit).min(end.unwrap_or(Boottime::MAX));
                    if arrived >= until {
                        return Err(Fault::DeadlineExceeded.into());
                    }
                    let deadline = Deadline { arrived, until };
                    batch(&resolver, request.map_err(status::contract)?, deadline).await
                }
            })
            .buffered(STREAM_AHEAD);
        // An error is the last that a client hears of a stream; what comes after it is not begun.
        let answers = answers.scan(false, |failed, answer| {
            let over = std::mem::replace(failed, answer.is_err());
            std::future::ready((!over).then_some(answer))
        });
        Ok(Response::new(answers.boxed()))
    }
}

/// The requests of a stream until the server stops: then the client is told to go elsewhere, after
/// the answers to all that was read.
fn until_stopped(
    requests: Streaming<BatchResolveRequest>,
    stopping: CancellationToken,
) -> impl futures::Stream<Item = Result<BatchResolveRequest, Status>> + Send {
    futures::stream::unfold(Some(requests), move |requests| {
        let stopping = stopping.clone();
        async move {
            let mut requests = requests?;
            tokio::select! {
                biased;
                () = stopping.cancelled() => Some((Err(Fault::ShuttingDown.into()), None)),
                request = requests.message() => match request.transpose()? {
                    Ok(request) => Some((Ok(request), Some(requests))),
                    Err(status) => Some((Err(status), None)),
                },
            }
        }
    })
}

async fn batch(
    resolver: &resolve::Resolver,
    request: BatchResolveRequest,
    deadline: Deadline,
) -> Result<BatchResolveResponse, Status> {
    let BatchResolveRequest { project_id, distinct_ids, consistency_token } = request;
    let resolution =
        resolver.resolve(project_id, &distinct_ids, &consistency_token, deadline).await;
    let Resolution { aliases, failures, degraded } =
        resolution.map_err(|refusal| status::read(&refusal))?;
    let resolved = |(index, canonical_id)| Resolved { index, canonical_id };
    let failed = |(index, failure)| status::lookup(failure).into_item(index);
    Ok(BatchResolveResponse {
        aliases: aliases.into_iter().map(resolved).collect(),
        failures: failures.into_iter().map(failed).collect(),
        degraded,
    })
}
