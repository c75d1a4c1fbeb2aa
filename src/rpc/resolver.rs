//! The Resolver service: messages in, messages out.

use super::batch::{BatchAnswer, BatchCodec, BatchRequest};
use super::codec::{ContractCodec, MAX_MESSAGE};
use super::deadline::{deadline, stream_end};
use super::pb::{BatchResolveResponse, ResolveRequest, ResolveResponse};
use super::routes::Responding;
use super::status::{self, Fault};
use crate::clock::Boottime;
use crate::resolve::{self, Deadline, Resolution};
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use http::Request as HttpRequest;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::codec::Codec;
use tonic::server::Grpc;
use tonic::{Request, Response, Status, Streaming};
use tower::service_fn;

/// Requests of one stream that are worked on at once. Their answers stay in order.
const STREAM_AHEAD: usize = 2;

pub(super) struct ResolverService {
    pub resolver: Arc<resolve::Resolver>,
    /// How long the server works on one request.
    pub limit: Duration,
    pub stopping: CancellationToken,
}

impl ResolverService {
    /// Answers a call of one of the methods. What tonic generates would decode batches with prost:
    /// see [`super::batch`].
    pub fn call(self: Arc<Self>, request: HttpRequest<Body>) -> Responding {
        match request.uri().path() {
            "/aka.v1.Resolver/Resolve" => Box::pin(async move {
                let resolve = service_fn(move |request| self.clone().resolve(request));
                Ok(grpc(ContractCodec::default()).unary(resolve, request).await)
            }),
            "/aka.v1.Resolver/BatchResolve" => Box::pin(async move {
                let resolve = service_fn(move |request| self.clone().batch_resolve(request));
                Ok(grpc(BatchCodec).unary(resolve, request).await)
            }),
            "/aka.v1.Resolver/StreamResolve" => Box::pin(async move {
                let resolve = service_fn(move |request| {
                    std::future::ready(Ok(Response::new(self.stream_resolve(request))))
                });
                Ok(grpc(BatchCodec).streaming(resolve, request).await)
            }),
            _ => Box::pin(std::future::ready(Ok(Status::unimplemented("").into_http()))),
        }
    }

    async fn resolve(
        self: Arc<Self>,
        request: Request<ResolveRequest>,
    ) -> Result<Response<ResolveResponse>, Status> {
        let deadline = deadline(request.metadata(), self.limit);
        let ResolveRequest { project_id, distinct_id, consistency_token } = request.into_inner();
        let ids = std::iter::once(&distinct_id[..]);
        let resolution = self.resolver.resolve(project_id, ids, &consistency_token, deadline).await;
        let Resolution { aliases, failures, degraded } =
            resolution.map_err(|refusal| status::read(&refusal))?;
        if let Some(&(_, failure)) = failures.first() {
            return Err(status::lookup(failure).into());
        }
        let alias = aliases.iter().next().map(|(_, canonical)| Bytes::copy_from_slice(canonical));
        Ok(Response::new(ResolveResponse {
            is_alias: alias.is_some(),
            canonical_id: alias.unwrap_or(distinct_id),
            degraded,
        }))
    }

    async fn batch_resolve(
        self: Arc<Self>,
        request: Request<BatchRequest>,
    ) -> Result<Response<BatchAnswer>, Status> {
        let deadline = deadline(request.metadata(), self.limit);
        batch(&self.resolver, request.into_inner(), deadline).await.map(Response::new)
    }

    fn stream_resolve(
        &self,
        request: Request<Streaming<BatchRequest>>,
    ) -> BoxStream<'static, Result<BatchAnswer, Status>> {
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
        answers.boxed()
    }
}

fn grpc<C: Codec>(codec: C) -> Grpc<C> {
    Grpc::new(codec).apply_max_message_size_config(Some(MAX_MESSAGE), None)
}

/// The requests of a stream until the server stops: then the client is told to go elsewhere, after
/// the answers to all that was read.
fn until_stopped(
    requests: Streaming<BatchRequest>,
    stopping: CancellationToken,
) -> impl futures::Stream<Item = Result<BatchRequest, Status>> + Send {
    // One for the whole stream: each that is made takes a lock that all calls share.
    let stopped = Box::pin(stopping.cancelled_owned());
    futures::stream::unfold((Some(requests), stopped), |(requests, mut stopped)| async move {
        let mut requests = requests?;
        tokio::select! {
            biased;
            () = &mut stopped => Some((Err(Fault::ShuttingDown.into()), (None, stopped))),
            request = requests.message() => match request.transpose()? {
                Ok(request) => Some((Ok(request), (Some(requests), stopped))),
                Err(status) => Some((Err(status), (None, stopped))),
            },
        }
    })
}

async fn batch(
    resolver: &resolve::Resolver,
    request: BatchRequest,
    deadline: Deadline,
) -> Result<BatchAnswer, Status> {
    let BatchRequest { project_id, ids, consistency_token } = request;
    let resolution = resolver.resolve(project_id, ids.iter(), &consistency_token, deadline).await;
    let Resolution { aliases, failures, degraded } =
        resolution.map_err(|refusal| status::read(&refusal))?;
    let failed = |(index, failure)| status::lookup(failure).into_item(index);
    let failures = failures.into_iter().map(failed).collect();
    let others = BatchResolveResponse { aliases: Vec::new(), failures, degraded };
    Ok(BatchAnswer { aliases, others })
}
