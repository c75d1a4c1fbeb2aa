//! The Resolver service: messages in, messages out.

use super::batch::{BatchAnswer, BatchRequest};
use super::message::{Messages, framed};
use super::status::{self, Fault};
use crate::resolve::{self, Deadline, Resolution};
use aka_core::clock::Boottime;
use aka_wire::MAX_MESSAGE;
use aka_wire::pb::{BatchResolveResponse, ResolveRequest, ResolveResponse};
use bytes::Bytes;
use futures::stream::{Stream, StreamExt};
use h2::RecvStream;
use prost::Message;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// The longest `ResolveRequest`, in bytes: one id and a token.
const MAX_RESOLVE: usize = 64 << 10;

/// Requests of one stream that are worked on at once. Their answers stay in order.
const STREAM_AHEAD: usize = 2;

pub(super) struct ResolverService {
    pub resolver: Arc<resolve::Resolver>,
    /// How long the server works on one request.
    pub limit: Duration,
    pub stopping: CancellationToken,
}

impl ResolverService {
    /// `Resolve`: a message in, a framed message out.
    pub async fn resolve(&self, body: RecvStream, deadline: Deadline) -> Result<Bytes, Status> {
        let request = Messages::new(body, MAX_RESOLVE).only(deadline.until).await?;
        let ResolveRequest { project_id, distinct_id, consistency_token } =
            ResolveRequest::decode(request).map_err(Fault::from)?;
        let ids = std::iter::once(&distinct_id[..]);
        let resolution = self.resolver.resolve(project_id, ids, &consistency_token, deadline).await;
        let Resolution { aliases, failures, degraded } =
            resolution.map_err(|refusal| status::read(&refusal))?;
        if let Some(&(_, failure)) = failures.first() {
            return Err(status::lookup(failure).into());
        }
        let alias = aliases.iter().next().map(|(_, canonical)| Bytes::copy_from_slice(canonical));
        let answer = ResolveResponse {
            is_alias: alias.is_some(),
            canonical_id: alias.unwrap_or(distinct_id),
            degraded,
        };
        Ok(framed(answer.encoded_len(), |buffer| answer.encode_raw(buffer)))
    }

    /// `BatchResolve`: a message in, a framed message out.
    pub async fn batch_resolve(
        &self,
        body: RecvStream,
        deadline: Deadline,
    ) -> Result<Bytes, Status> {
        let request = Messages::new(body, MAX_MESSAGE).only(deadline.until).await?;
        batch(&self.resolver, request, deadline).await
    }

    /// `StreamResolve`: messages in, framed messages out, each for the one that came in its place.
    /// `end`: when the client stops waiting for all of it.
    pub fn stream_resolve(
        &self,
        body: RecvStream,
        end: Option<Boottime>,
    ) -> impl Stream<Item = Result<Bytes, Status>> + Send + 'static {
        let (resolver, limit) = (self.resolver.clone(), self.limit);
        let messages = Messages::new(body, MAX_MESSAGE);
        let requests = until_stopped(messages, self.stopping.clone());
        let answers = requests
            .map(move |request| {
                let resolver = resolver.clone();
                async move {
                    let arrived = Boottime::now();
                    let until = arrived.plus(limit).min(end.unwrap_or(Boottime::MAX));
                    if arrived >= until {
                        return Err(Fault::DeadlineExceeded.into());
                    }
                    batch(&resolver, request?, Deadline { arrived, until }).await
                }
            })
            .buffered(STREAM_AHEAD);
        // An error is the last that a client hears of a stream; what comes after it is not begun.
        answers.scan(false, |failed, answer| {
            let over = std::mem::replace(failed, answer.is_err());
            std::future::ready((!over).then_some(answer))
        })
    }
}

/// The requests of a stream until the server stops: then the client is told to go elsewhere, after
/// the answers to all that was read.
fn until_stopped(
    messages: Messages,
    stopping: CancellationToken,
) -> impl Stream<Item = Result<Bytes, Status>> + Send {
    // One for the whole stream: each that is made takes a lock that all calls share.
    let stopped = Box::pin(stopping.cancelled_owned());
    futures::stream::unfold((Some(messages), stopped), |(messages, mut stopped)| async move {
        let mut messages = messages?;
        tokio::select! {
            biased;
            () = &mut stopped => Some((Err(Fault::ShuttingDown.into()), (None, stopped))),
            message = messages.next() => match message.transpose()? {
                Ok(message) => Some((Ok(message), (Some(messages), stopped))),
                Err(status) => Some((Err(status), (None, stopped))),
            },
        }
    })
}

async fn batch(
    resolver: &resolve::Resolver,
    request: Bytes,
    deadline: Deadline,
) -> Result<Bytes, Status> {
    let BatchRequest { project_id, ids, consistency_token } = BatchRequest::decode(request)?;
    let resolution = resolver.resolve(project_id, ids.iter(), &consistency_token, deadline).await;
    let Resolution { aliases, failures, degraded } =
        resolution.map_err(|refusal| status::read(&refusal))?;
    let failed = |(index, failure)| status::lookup(failure).into_item(index);
    let failures = failures.into_iter().map(failed).collect();
    let others = BatchResolveResponse { aliases: Vec::new(), failures, degraded };
    let answer = BatchAnswer { aliases, others };
    Ok(framed(answer.length_at_most(), |buffer| answer.encode(buffer)))
}
