//! Everything that the gRPC port answers: where each call goes, and that each is counted.

use super::counted::Call;
use super::deadline::{deadline, stream_end};
use super::message::{self, unless_gone};
use super::resolver::ResolverService;
use super::routes::Routes;
use super::tonics::{self, Incoming};
use super::{ALIAS_ADMIN, RESOLVER};
use crate::ops::{Metrics, RpcMetrics};
use bytes::Bytes;
use futures::stream::{Stream, StreamExt};
use h2::RecvStream;
use h2::server::SendResponse;
use http::Request;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tonic::body::Body;
use tonic::{Code, Status};

const METHODS: [(&str, &str, &str); 10] = [
    (RESOLVER, "Resolve", "unary"),
    (RESOLVER, "BatchResolve", "unary"),
    (RESOLVER, "StreamResolve", "bidi_stream"),
    (ALIAS_ADMIN, "CreateAlias", "unary"),
    (ALIAS_ADMIN, "BatchCreateAliases", "unary"),
    (ALIAS_ADMIN, "GetAlias", "unary"),
    (ALIAS_ADMIN, "UpdateAlias", "unary"),
    (ALIAS_ADMIN, "DeleteAlias", "unary"),
    (ALIAS_ADMIN, "ListAliases", "unary"),
    ("grpc.health.v1.Health", "Check", "unary"),
];

/// The whole port, as a connection calls it.
pub struct Port {
    resolver: Arc<ResolverService>,
    routes: Routes,
    methods: Vec<(String, Arc<RpcMetrics>)>,
    /// Calls of all other methods, so that no caller can make a series.
    others: Arc<RpcMetrics>,
}

impl Port {
    pub(super) fn new(resolver: Arc<ResolverService>, routes: Routes, metrics: &Metrics) -> Self {
        let method = |(service, method, kind)| {
            (format!("/{service}/{method}"), Arc::new(metrics.rpc(service, method, kind)))
        };
        let methods = METHODS.into_iter().map(method).collect();
        let others = Arc::new(metrics.rpc("other", "other", "other"));
        Self { resolver, routes, methods, others }
    }

    /// The busiest methods stand first: a look at each is cheaper than a hash.
    fn metrics(&self, path: &str) -> &Arc<RpcMetrics> {
        let known = self.methods.iter().find(|(known, _)| *known == path);
        known.map_or(&self.others, |(_, metrics)| metrics)
    }

    /// Takes a call. What memory can answer at once is answered when this returns; all others go on as
    /// tasks of their own, on the runtime that this is called on.
    pub fn take(&self, request: Request<RecvStream>, respond: SendResponse<Bytes>) {
        let call = Call::begin(self.metrics(request.uri().path()).clone());
        let resolver = self.resolver.clone();
        match request.uri().path() {
            "/aka.v1.Resolver/Resolve" => {
                let deadline = deadline(request.headers(), resolver.limit);
                let body = request.into_body();
                at_once(call, respond, async move { resolver.resolve(body, deadline).await });
            }
            "/aka.v1.Resolver/BatchResolve" => {
                let deadline = deadline(request.headers(), resolver.limit);
                let body = request.into_body();
                at_once(call, respond, async move { resolver.batch_resolve(body, deadline).await });
            }
            "/aka.v1.Resolver/StreamResolve" => {
                let end = stream_end(request.headers());
                let answers = resolver.stream_resolve(request.into_body(), end);
                tokio::spawn(in_turn(call, respond, answers));
            }
            _ => {
                let responding = self.routes.call(request.map(|body| Body::new(Incoming(body))));
                tokio::spawn(tonics::answer(call, respond, responding));
            }
        }
    }
}

/// Answers a call that most of the time memory can answer. Then it needs no task, is not woken, and what
/// it says goes out with what the calls beside it say.
fn at_once<F>(call: Call, respond: SendResponse<Bytes>, reply: F)
where
    F: Future<Output = Result<Bytes, Status>> + Send + 'static,
{
    let mut reply = Box::pin(reply);
    match reply.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(reply) => end(call, respond, reply),
        Poll::Pending => drop(tokio::spawn(async move {
            let (call, mut respond) = (call, respond);
            if let Ok(reply) = unless_gone(|context| respond.poll_reset(context), reply).await {
                end(call, respond, reply);
            }
        })),
    }
}

fn end(mut call: Call, mut respond: SendResponse<Bytes>, reply: Result<Bytes, Status>) {
    let code = reply.as_ref().map_or_else(Status::code, |_| Code::Ok);
    // Whoever has gone has cancelled the call.
    if message::answer(&mut respond, reply).is_ok() {
        call.code = Some(code);
    }
}

/// Answers a stream of requests: with all answers, in turn, as fast as the client reads them.
async fn in_turn(
    mut call: Call,
    mut respond: SendResponse<Bytes>,
    answers: impl Stream<Item = Result<Bytes, Status>>,
) -> Result<(), h2::Error> {
    let mut stream = message::begin(&mut respond)?;
    let mut answers = pin!(answers);
    let status = loop {
        match unless_gone(|context| stream.poll_reset(context), answers.next()).await? {
            Some(Ok(answer)) => message::send(&mut stream, answer).await?,
            Some(Err(status)) => break Some(status),
            None => break None,
        }
    };
    message::end(&mut stream, status.as_ref())?;
    call.code = Some(status.map_or(Code::Ok, |status| status.code()));
    Ok(())
}
