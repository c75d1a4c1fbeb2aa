//! `Resolve` and `BatchResolve`: one message in, one framed message out.

use super::batch::{BatchAnswer, BatchRequest};
use super::messages::{KeptMessage, Messages};
use crate::auth::Pass;
use crate::resolve::{ReadTerms, Resolution, Resolver};
use crate::rpc::counters::CountedCall;
use crate::rpc::memory::ConnectionMemory;
use crate::rpc::response::{self, unless_gone};
use crate::rpc::status::{self, CallFault};
use aka_wire::frame::framed;
use aka_wire::pb::{BatchResolveResponse, ResolveRequest, ResolveResponse};
use bytes::Bytes;
use futures::future::FutureExt;
use h2::server::SendResponse;
use prost::Message;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tonic::{Code, Status};

/// `Resolve`.
pub async fn resolve(
    resolver: Arc<Resolver>,
    messages: Messages,
    pass: Pass,
    terms: ReadTerms,
) -> Result<Bytes, Status> {
    let request = messages.only(terms.until).await?;
    let ResolveRequest { project_id, distinct_id, consistency_token } =
        ResolveRequest::decode(request.bytes.clone()).map_err(CallFault::from)?;
    pass.permits(project_id)?;
    let ids = std::iter::once(&distinct_id[..]);
    let resolution = resolver.resolve(project_id, ids, &consistency_token, terms).await;
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

/// `BatchResolve`.
pub async fn resolve_batch(
    resolver: Arc<Resolver>,
    messages: Messages,
    pass: Pass,
    terms: ReadTerms,
) -> Result<Bytes, Status> {
    let request = messages.only(terms.until).await?;
    batch(&resolver, request, &pass, terms).await
}

/// Answers the message of one batch.
pub(super) async fn batch(
    resolver: &Resolver,
    request: KeptMessage,
    pass: &Pass,
    terms: ReadTerms,
) -> Result<Bytes, Status> {
    let message = request.bytes.clone();
    let BatchRequest { project_id, ids, consistency_token } = BatchRequest::decode(message)?;
    // With each message: a stream outlives changes of the principals.
    pass.permits(project_id)?;
    let resolution = resolver.resolve(project_id, ids.iter(), &consistency_token, terms).await;
    let Resolution { aliases, failures, degraded } =
        resolution.map_err(|refusal| status::read(&refusal))?;
    let failed = |(index, failure)| status::lookup(failure).into_item(index);
    let failures = failures.into_iter().map(failed).collect();
    let others = BatchResolveResponse { aliases: Vec::new(), failures, degraded };
    let answer = BatchAnswer { aliases, others };
    Ok(framed(answer.length_at_most(), |buffer| answer.encode(buffer)))
}

/// Answers a call that memory can usually answer at once. Then the call needs no task and no
/// wake-up, and its answer leaves in one write with those of the calls beside it.
///
/// What the client has no room for is held in `memory`.
pub fn answer_at_once<F>(
    call: CountedCall,
    respond: SendResponse<Bytes>,
    reply: F,
    memory: &ConnectionMemory,
) where
    F: Future<Output = Result<Bytes, Status>> + Send + 'static,
{
    // A panic must not end the other calls of the connection.
    let reply = AssertUnwindSafe(reply).catch_unwind();
    let mut reply = Box::pin(reply.map(|reply| reply.unwrap_or_else(|_| Err(panicked()))));
    match reply.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(reply) => end(call, respond, reply, memory),
        Poll::Pending => {
            let memory = memory.clone();
            tokio::spawn(async move {
                let (call, mut respond) = (call, respond);
                if let Ok(reply) = unless_gone(|context| respond.poll_reset(context), reply).await {
                    end(call, respond, reply, &memory);
                }
            });
        }
    }
}

/// The panic hook has written the message of the panic and its place to standard error.
fn panicked() -> Status {
    tracing::error!("a lookup panicked");
    CallFault::Internal("the lookup failed; see the server's log".to_owned()).into()
}

fn end(
    mut call: CountedCall,
    mut respond: SendResponse<Bytes>,
    reply: Result<Bytes, Status>,
    memory: &ConnectionMemory,
) {
    let code = reply.as_ref().map_or_else(Status::code, |_| Code::Ok);
    // On an error the client has left, which counts as cancelled.
    if response::answer(&mut respond, reply, memory).is_ok() {
        call.code = Some(code);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use crate::rpc::Activity;
    use crate::rpc::counters::CallCounters;
    use crate::rpc::memory::RequestMemory;
    use aka_wire::Method;
    use http::Request;
    use metrics::{Counter, Gauge};
    use tokio::io::duplex;

    #[tokio::test]
    async fn a_lookup_that_panics_is_answered() {
        let (client, server) = duplex(1 << 10);
        let counters = CallCounters::new(&Metrics::new());
        let memory = RequestMemory::new(1 << 20, Gauge::noop(), Counter::noop());
        let (memory, activity) = (Arc::new(memory).of_connection(), Activity::new());
        let serving = async {
            let mut connection = h2::server::handshake(server).await.expect("opened");
            while let Some(Ok((request, respond))) = connection.accept().await {
                let path = request.uri().path().to_owned();
                let reply = async move {
                    if path == "/later" {
                        tokio::task::yield_now().await;
                    }
                    if path != "/well" { panic!("a bug") } else { Ok(framed(0, |_| {})) }
                };
                let call = counters.begin(Some(Method::Resolve), &activity);
                answer_at_once(call, respond, reply, &memory);
            }
        };
        let calling = async {
            let (mut calls, connection) = h2::client::handshake(client).await.expect("opened");
            tokio::spawn(connection);
            let mut outcomes = Vec::new();
            for path in ["/now", "/later", "/well"] {
                let request = Request::post(format!("http://aka{path}")).body(()).expect("one");
                let (response, _) = calls.send_request(request, true).expect("sent");
                let response = response.await.expect("answered");
                outcomes.push(Status::from_header_map(response.headers()).map(|s| s.code()));
            }
            outcomes
        };
        let outcomes = tokio::select! {
            () = serving => panic!("the connection has ended"),
            outcomes = calling => outcomes,
        };
        assert_eq!(outcomes, [Some(Code::Internal), Some(Code::Internal), None]);
    }
}
