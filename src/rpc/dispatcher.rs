//! Everything that the gRPC port answers: where each call goes, and that each is counted.

use super::counted::Call;
use super::deadline::{deadline, stream_end};
use super::message::{self, unless_gone};
use super::resolver::ResolverService;
use super::routes::Routes;
use super::status::Fault;
use super::tonics::{self, Incoming};
use super::{ALIAS_ADMIN, RESOLVER};
use crate::metrics::{Metrics, RpcMetrics};
use bytes::Bytes;
use futures::future::FutureExt;
use futures::stream::{Stream, StreamExt};
use h2::RecvStream;
use h2::server::SendResponse;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, Response, StatusCode};
use std::panic::AssertUnwindSafe;
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
pub struct Dispatcher {
    resolver: Arc<ResolverService>,
    routes: Routes,
    methods: Vec<(String, Arc<RpcMetrics>)>,
    /// Calls of all other methods, so that no caller can make a series.
    others: Arc<RpcMetrics>,
}

impl Dispatcher {
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
        if !is_grpc(request.headers()) {
            return refuse(call, respond);
        }
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

/// gRPC's own content type, or one that says what the messages are made of.
fn is_grpc(headers: &HeaderMap) -> bool {
    let subtype = headers
        .get(CONTENT_TYPE)
        .and_then(|content_type| content_type.as_bytes().strip_prefix(b"application/grpc"));
    matches!(subtype, Some([] | [b'+' | b';', ..]))
}

/// Answers what is not gRPC as "gRPC over HTTP2" has it, so that it is not taken for an answer.
fn refuse(mut call: Call, mut respond: SendResponse<Bytes>) {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    if respond.send_response(response, true).is_ok() {
        // What a gRPC client makes of it.
        call.code = Some(Code::Unknown);
    }
}

/// Answers a call that most of the time memory can answer. Then it needs no task, is not woken, and what
/// it says goes out with what the calls beside it say.
fn at_once<F>(call: Call, respond: SendResponse<Bytes>, reply: F)
where
    F: Future<Output = Result<Bytes, Status>> + Send + 'static,
{
    // A bug that one call brings to light must not end the others of its connection.
    let reply = AssertUnwindSafe(reply).catch_unwind();
    let mut reply = Box::pin(reply.map(|reply| reply.unwrap_or_else(|_| Err(panicked()))));
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

/// What it said, and where, the panic hook has written to standard error.
fn panicked() -> Status {
    tracing::error!("a lookup panicked");
    Fault::Internal("the lookup failed; see the server's log".to_owned()).into()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use http::Request;
    use tokio::io::duplex;

    /// A bug that one call brings to light is the end of that call only.
    #[tokio::test]
    async fn a_lookup_that_panics_is_answered() {
        let (client, server) = duplex(1 << 10);
        let metrics = Arc::new(Metrics::new().rpc(RESOLVER, "Resolve", "unary"));
        let serving = async {
            let mut connection = h2::server::handshake(server).await.expect("opened");
            while let Some(Ok((request, respond))) = connection.accept().await {
                let path = request.uri().path().to_owned();
                at_once(Call::begin(metrics.clone()), respond, async move {
                    if path == "/later" {
                        tokio::task::yield_now().await;
                    }
                    if path != "/well" { panic!("a bug") } else { Ok(message::framed(0, |_| {})) }
                });
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
